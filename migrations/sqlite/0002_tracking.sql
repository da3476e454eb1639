CREATE TABLE `datasets` (
	`id` text PRIMARY KEY NOT NULL,
	`experiment_id` integer NOT NULL,
	`name` text NOT NULL,
	`digest` text NOT NULL,
	`source_type` text NOT NULL,
	`source` text NOT NULL,
	`schema` text,
	`profile` text
);
--> statement-breakpoint
CREATE UNIQUE INDEX `datasets_name` ON `datasets` (`experiment_id`,`name`,`digest`);--> statement-breakpoint
CREATE TABLE `experiment_tags` (
	`experiment_id` integer NOT NULL,
	`key` text NOT NULL,
	`value` text NOT NULL,
	PRIMARY KEY(`experiment_id`, `key`)
);
--> statement-breakpoint
CREATE TABLE `experiments` (
	`id` integer PRIMARY KEY AUTOINCREMENT NOT NULL,
	`name` text NOT NULL,
	`artifact_location` text NOT NULL,
	`created_by` text NOT NULL,
	`created_at` integer NOT NULL,
	`updated_at` integer NOT NULL,
	`deleted_at` integer
);
--> statement-breakpoint
CREATE UNIQUE INDEX `experiments_name` ON `experiments` (`name`);--> statement-breakpoint
CREATE TABLE `files` (
	`path` text PRIMARY KEY NOT NULL,
	`sha256` text NOT NULL,
	`size` integer NOT NULL,
	`created_by` text NOT NULL,
	`created_at` integer NOT NULL
);
--> statement-breakpoint
CREATE INDEX `files_sha256` ON `files` (`sha256`);--> statement-breakpoint
CREATE TABLE `latest_metrics` (
	`run_id` text NOT NULL,
	`key` text NOT NULL,
	`value` real NOT NULL,
	`nan` integer NOT NULL,
	`timestamp` integer NOT NULL,
	`step` integer NOT NULL,
	`model_id` text,
	`dataset_name` text,
	`dataset_digest` text,
	PRIMARY KEY(`run_id`, `key`)
);
--> statement-breakpoint
CREATE INDEX `latest_metrics_key` ON `latest_metrics` (`key`,`value`);--> statement-breakpoint
CREATE TABLE `logged_model_metrics` (
	`key` text NOT NULL,
	`value` real NOT NULL,
	`nan` integer NOT NULL,
	`timestamp` integer NOT NULL,
	`step` integer NOT NULL,
	`model_id` text NOT NULL,
	`dataset_name` text,
	`dataset_digest` text,
	`run_id` text NOT NULL,
	PRIMARY KEY(`model_id`, `key`, `timestamp`, `step`, `run_id`)
);
--> statement-breakpoint
CREATE TABLE `logged_model_params` (
	`model_id` text NOT NULL,
	`key` text NOT NULL,
	`value` text NOT NULL,
	PRIMARY KEY(`model_id`, `key`)
);
--> statement-breakpoint
CREATE TABLE `logged_model_tags` (
	`model_id` text NOT NULL,
	`key` text NOT NULL,
	`value` text NOT NULL,
	PRIMARY KEY(`model_id`, `key`)
);
--> statement-breakpoint
CREATE TABLE `logged_models` (
	`id` text PRIMARY KEY NOT NULL,
	`experiment_id` integer NOT NULL,
	`name` text NOT NULL,
	`model_type` text,
	`source_run_id` text,
	`artifact_uri` text NOT NULL,
	`status` text NOT NULL,
	`status_message` text,
	`created_by` text NOT NULL,
	`created_at` integer NOT NULL,
	`updated_at` integer NOT NULL,
	`deleted_at` integer
);
--> statement-breakpoint
CREATE INDEX `logged_models_experiment` ON `logged_models` (`experiment_id`,`created_at`,`id`);--> statement-breakpoint
CREATE TABLE `run_datasets` (
	`run_id` text NOT NULL,
	`dataset_id` text NOT NULL,
	`tags` text NOT NULL,
	PRIMARY KEY(`run_id`, `dataset_id`)
);
--> statement-breakpoint
CREATE TABLE `run_metrics` (
	`run_id` text NOT NULL,
	`key` text NOT NULL,
	`value` real NOT NULL,
	`nan` integer NOT NULL,
	`timestamp` integer NOT NULL,
	`step` integer NOT NULL,
	`model_id` text,
	`dataset_name` text,
	`dataset_digest` text,
	PRIMARY KEY(`run_id`, `key`, `timestamp`, `step`, `value`, `nan`)
);
--> statement-breakpoint
CREATE TABLE `run_models` (
	`run_id` text NOT NULL,
	`model_id` text NOT NULL,
	`direction` text NOT NULL,
	`step` integer NOT NULL,
	PRIMARY KEY(`run_id`, `model_id`, `direction`)
);
--> statement-breakpoint
CREATE TABLE `run_params` (
	`run_id` text NOT NULL,
	`key` text NOT NULL,
	`value` text NOT NULL,
	PRIMARY KEY(`run_id`, `key`)
);
--> statement-breakpoint
CREATE INDEX `run_params_key` ON `run_params` (`key`,`value`);--> statement-breakpoint
CREATE TABLE `run_tags` (
	`run_id` text NOT NULL,
	`key` text NOT NULL,
	`value` text NOT NULL,
	PRIMARY KEY(`run_id`, `key`)
);
--> statement-breakpoint
CREATE INDEX `run_tags_key` ON `run_tags` (`key`,`value`);--> statement-breakpoint
CREATE TABLE `runs` (
	`id` text PRIMARY KEY NOT NULL,
	`experiment_id` integer NOT NULL,
	`name` text NOT NULL,
	`user_id` text NOT NULL,
	`status` text NOT NULL,
	`start_time` integer,
	`end_time` integer,
	`artifact_uri` text NOT NULL,
	`created_by` text NOT NULL,
	`deleted_at` integer
);
--> statement-breakpoint
CREATE INDEX `runs_experiment` ON `runs` (`experiment_id`,`start_time`,`id`);--> statement-breakpoint
ALTER TABLE `versions` ADD `source` text;--> statement-breakpoint
ALTER TABLE `versions` ADD `run_link` text;--> statement-breakpoint
ALTER TABLE `versions` ADD `logged_model_id` text;