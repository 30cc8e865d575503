//! Conversations: messages, and the template that turns them into a prompt.

mod generation_tags;
mod json;
mod local_time;
mod message;
mod prompt;
mod python_text;
mod template;

pub use json::Json;
pub use local_time::LocalTime;
pub use message::{Conversation, Message, Role};
pub use template::ChatTemplate;
