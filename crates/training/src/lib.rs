//! Recipes: pretrain and fine-tune; data order, schedules, checkpoints, metrics, report.
