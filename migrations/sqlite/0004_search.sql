CREATE TABLE `model_tags` (
	`model_id` text NOT NULL,
	`key` text NOT NULL,
	`value` text NOT NULL,
	PRIMARY KEY(`model_id`, `key`)
);
--> statement-breakpoint
CREATE INDEX `model_tags_key` ON `model_tags` (`key`,`value`);--> statement-breakpoint
CREATE TABLE `version_tags` (
	`version_id` text NOT NULL,
	`key` text NOT NULL,
	`value` text NOT NULL,
	PRIMARY KEY(`version_id`, `key`)
);
--> statement-breakpoint
CREATE INDEX `version_tags_key` ON `version_tags` (`key`,`value`);--> statement-breakpoint
CREATE INDEX `versions_updated` ON `versions` (`updated_at`);--> statement-breakpoint
CREATE INDEX `versions_created` ON `versions` (`created_at`);--> statement-breakpoint
CREATE INDEX `versions_run` ON `versions` (`run_id`);