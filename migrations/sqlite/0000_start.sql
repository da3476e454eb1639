CREATE TABLE `aliases` (
	`model_id` text NOT NULL,
	`alias` text NOT NULL,
	`version` integer NOT NULL,
	`updated_by` text NOT NULL,
	`updated_at` integer NOT NULL,
	PRIMARY KEY(`model_id`, `alias`)
);
--> statement-breakpoint
CREATE TABLE `audit` (
	`seq` integer PRIMARY KEY AUTOINCREMENT NOT NULL,
	`at` integer NOT NULL,
	`actor` text NOT NULL,
	`role` text NOT NULL,
	`action` text NOT NULL,
	`object` text NOT NULL,
	`outcome` text NOT NULL,
	`count` integer NOT NULL,
	`details` text NOT NULL,
	`request_id` text NOT NULL,
	`ip` text NOT NULL,
	`prev_hash` text NOT NULL,
	`hash` text NOT NULL
);
--> statement-breakpoint
CREATE TABLE `idempotency` (
	`sub` text NOT NULL,
	`key` text NOT NULL,
	`fingerprint` text NOT NULL,
	`result` text NOT NULL,
	`at` integer NOT NULL,
	PRIMARY KEY(`sub`, `key`)
);
--> statement-breakpoint
CREATE TABLE `lives` (
	`id` integer PRIMARY KEY AUTOINCREMENT NOT NULL,
	`model_id` text NOT NULL,
	`stage` text NOT NULL,
	`version` integer NOT NULL,
	`since` integer NOT NULL,
	`until` integer,
	`rolled_back` integer NOT NULL
);
--> statement-breakpoint
CREATE INDEX `lives_stage` ON `lives` (`model_id`,`stage`,`id`);--> statement-breakpoint
CREATE TABLE `models` (
	`id` text PRIMARY KEY NOT NULL,
	`name` text NOT NULL,
	`description` text NOT NULL,
	`tags` text NOT NULL,
	`next_version` integer NOT NULL,
	`created_by` text NOT NULL,
	`created_at` integer NOT NULL,
	`updated_at` integer NOT NULL,
	`deleted_at` integer
);
--> statement-breakpoint
CREATE UNIQUE INDEX `models_name` ON `models` (`name`) WHERE deleted_at is null;--> statement-breakpoint
CREATE TABLE `stages` (
	`model_id` text NOT NULL,
	`stage` text NOT NULL,
	`revision` integer NOT NULL,
	PRIMARY KEY(`model_id`, `stage`)
);
--> statement-breakpoint
CREATE TABLE `tokens` (
	`jti` text PRIMARY KEY NOT NULL,
	`sub` text NOT NULL,
	`role` text NOT NULL,
	`models` text,
	`kid` text NOT NULL,
	`created_by` text NOT NULL,
	`created_at` integer NOT NULL,
	`expires_at` integer NOT NULL,
	`revoked_at` integer
);
--> statement-breakpoint
CREATE TABLE `transitions` (
	`id` integer PRIMARY KEY AUTOINCREMENT NOT NULL,
	`model_id` text NOT NULL,
	`version` integer NOT NULL,
	`from_stage` text NOT NULL,
	`to_stage` text NOT NULL,
	`kind` text NOT NULL,
	`actor` text NOT NULL,
	`reason` text,
	`request_id` text NOT NULL,
	`at` integer NOT NULL
);
--> statement-breakpoint
CREATE INDEX `transitions_model` ON `transitions` (`model_id`,`id`);--> statement-breakpoint
CREATE TABLE `versions` (
	`id` text PRIMARY KEY NOT NULL,
	`model_id` text NOT NULL,
	`version` integer NOT NULL,
	`stage` text NOT NULL,
	`status` text NOT NULL,
	`servability` text NOT NULL,
	`reason` text,
	`description` text NOT NULL,
	`sha256` text NOT NULL,
	`size` integer NOT NULL,
	`original_sha256` text NOT NULL,
	`original_size` integer NOT NULL,
	`signature` text,
	`schema` text,
	`trial` text,
	`tags` text NOT NULL,
	`metrics` text NOT NULL,
	`params` text NOT NULL,
	`git_commit` text,
	`run_id` text,
	`quarantined_at` integer,
	`quarantine_reason` text,
	`created_by` text NOT NULL,
	`created_at` integer NOT NULL,
	`updated_at` integer NOT NULL,
	`deleted_at` integer,
	FOREIGN KEY (`model_id`) REFERENCES `models`(`id`) ON UPDATE no action ON DELETE no action
);
--> statement-breakpoint
CREATE UNIQUE INDEX `versions_number` ON `versions` (`model_id`,`version`);--> statement-breakpoint
CREATE INDEX `versions_stage` ON `versions` (`model_id`,`stage`);--> statement-breakpoint
CREATE INDEX `versions_sha256` ON `versions` (`sha256`);--> statement-breakpoint
CREATE INDEX `versions_original_sha256` ON `versions` (`original_sha256`);