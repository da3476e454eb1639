-- Keeps a row per tag beside the JSON columns, for searches.
CREATE TRIGGER `models_tags_inserted` AFTER INSERT ON `models` BEGIN
  INSERT INTO `model_tags` SELECT NEW.`id`, `key`, `value` FROM json_each(NEW.`tags`);
END;
--> statement-breakpoint
CREATE TRIGGER `models_tags_updated` AFTER UPDATE OF `tags` ON `models` WHEN NEW.`tags` <> OLD.`tags` BEGIN
  DELETE FROM `model_tags` WHERE `model_id` = OLD.`id`;
  INSERT INTO `model_tags` SELECT NEW.`id`, `key`, `value` FROM json_each(NEW.`tags`);
END;
--> statement-breakpoint
CREATE TRIGGER `models_tags_deleted` AFTER DELETE ON `models` BEGIN
  DELETE FROM `model_tags` WHERE `model_id` = OLD.`id`;
END;
--> statement-breakpoint
CREATE TRIGGER `versions_tags_inserted` AFTER INSERT ON `versions` BEGIN
  INSERT INTO `version_tags` SELECT NEW.`id`, `key`, `value` FROM json_each(NEW.`tags`);
END;
--> statement-breakpoint
CREATE TRIGGER `versions_tags_updated` AFTER UPDATE OF `tags` ON `versions` WHEN NEW.`tags` <> OLD.`tags` BEGIN
  DELETE FROM `version_tags` WHERE `version_id` = OLD.`id`;
  INSERT INTO `version_tags` SELECT NEW.`id`, `key`, `value` FROM json_each(NEW.`tags`);
END;
--> statement-breakpoint
CREATE TRIGGER `versions_tags_deleted` AFTER DELETE ON `versions` BEGIN
  DELETE FROM `version_tags` WHERE `version_id` = OLD.`id`;
END;
--> statement-breakpoint
INSERT INTO `model_tags` SELECT `models`.`id`, `json`.`key`, `json`.`value` FROM `models`, json_each(`models`.`tags`) AS `json`;
--> statement-breakpoint
INSERT INTO `version_tags` SELECT `versions`.`id`, `json`.`key`, `json`.`value` FROM `versions`, json_each(`versions`.`tags`) AS `json`;
