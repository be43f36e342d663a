//! PEM: base64 between two lines that say what it is.

use base64::{Engine, engine::general_purpose::STANDARD};

use super::KeyError;

/// One block of a PEM file.
pub(super) struct Block {
    pub(super) label: String,
    pub(super) content: Vec<u8>,
    /// Its label says so, or, the old way, headers inside the block.
    pub(super) is_encrypted: bool,
}

/// All well-formed blocks in order; what lies between them is no matter.
fn blocks(text: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut lines = text.lines().map(str::trim);
    while let Some(line) = lines.next() {
        let Some(label) = line.strip_prefix("-----BEGIN ").and_then(|l| l.strip_suffix("-----"))
        else {
            continue;
        };
        let end = format!("-----END {label}-----");
        let body: Vec<_> = lines.by_ref().take_while(|line| *line != end).collect();
        let is_encrypted =
            label.starts_with("ENCRYPTED") || body.iter().any(|line| line.contains("ENCRYPTED"));
        let base64: String = body.into_iter().filter(|line| !line.contains(':')).collect();
        if let Ok(content) = STANDARD.decode(base64) {
            blocks.push(Block { label: label.to_owned(), content, is_encrypted });
        }
    }
    blocks
}

/// The first private key.
pub(super) fn private_key(text: &str) -> Result<Block, KeyError> {
    blocks(text)
        .into_iter()
        .find(|block| block.label.ends_with("PRIVATE KEY"))
        .ok_or(KeyError::NoKey)
}

/// Writes one block, with lines of 64 characters.
pub(super) fn encode(label: &str, content: &[u8]) -> String {
    let mut text = format!("-----BEGIN {label}-----\n");
    for (index, character) in STANDARD.encode(content).chars().enumerate() {
        if index > 0 && index % 64 == 0 {
            text.push('\n');
        }
        text.push(character);
    }
    text + &format!("\n-----END {label}-----\n")
}
