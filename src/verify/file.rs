//! What is wrong with a `codec.rs` that no compiler need see.

use std::{fs, io, path::Path};

/// What it is, if it is no text of some length: the file's name belongs before it.
pub fn fault(codec: &Path) -> Option<String> {
    let not_read = |error: io::Error| Some(format!("can't be read: {error}"));
    match fs::metadata(codec) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Some("is not there".to_owned());
        }
        Err(error) => return not_read(error),
        // A device or a pipe might never end.
        Ok(found) if !found.is_file() => return Some("is no file".to_owned()),
        Ok(_) => {}
    }
    match fs::read(codec).map(String::from_utf8) {
        Err(error) => not_read(error),
        Ok(Err(error)) => {
            let byte = error.utf8_error().valid_up_to() + 1;
            Some(format!("is not text: its byte {byte} is no UTF-8"))
        }
        Ok(Ok(text)) => text.trim().is_empty().then(|| "is empty".to_owned()),
    }
}
