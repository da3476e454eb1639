-- MLflow's clients log to experiment 0 when none is named.
INSERT INTO `experiments` (`id`, `name`, `artifact_location`, `created_by`, `created_at`, `updated_at`)
VALUES (0, 'Default', 'mlflow-artifacts:/0', 'system', unixepoch() * 1000, unixepoch() * 1000);
--> statement-breakpoint
-- Versions pushed before files had paths can be downloaded by MLflow's clients, too.
INSERT INTO `files` (`path`, `sha256`, `size`, `created_by`, `created_at`)
SELECT 'versions/' || `id` || '/model.onnx', `original_sha256`, `original_size`, `created_by`, `created_at`
FROM `versions`;
