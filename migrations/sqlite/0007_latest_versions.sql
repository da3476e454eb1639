DROP INDEX `versions_stage`;--> statement-breakpoint
CREATE INDEX `versions_stage` ON `versions` (`model_id`,`stage`,`version`);