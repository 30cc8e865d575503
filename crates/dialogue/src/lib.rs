//! Dialogues: who says what, the file format, and chat templates that turn a dialogue into tokens
//! with a mask of those that a model learns.
//!
//! [`Dialogue`] is what files hold and training learns from; [`Conversation`] is what a template
//! renders; [`ChatTemplate`] renders it as Hugging Face does. One template serves training and
//! answering, so a model is asked in the tokens that it was trained on.
//!
//! Reads no clock: [`LocalTime`] is an argument. Knows tokenizers, no models.

mod dialogue;
mod encode;
mod error;
mod file;
mod jinja;
mod json;
mod local_time;
mod model_files;
mod template;

pub use dialogue::{Conversation, Dialogue, Message, Role};
pub use encode::ChatTokens;
pub use error::DialogueError;
pub use file::read_dialogues;
pub use json::Json;
pub use local_time::LocalTime;
pub use template::ChatTemplate;
