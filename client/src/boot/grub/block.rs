//! GRUB's environment block: a file of fixed size with `name=value` lines, filled up with `#`.
//!
//! GRUB rewrites the file's blocks in place, without knowing about the file system around them. So
//! its size never changes, and neither does its place.

/// The first line.
const SIGNATURE: &[u8] = b"# GRUB Environment Block\n";

/// What `grub-editenv` creates, and what GRUB itself expects.
pub(super) const SIZE: usize = 1024;

/// Something is wrong with a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BlockError {
    Malformed(&'static str),
    Full,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Line {
    /// Without its newline, with its `#`.
    Comment(Vec<u8>),
    Variable {
        name: Vec<u8>,
        value: Vec<u8>,
    },
}

/// The content of one block. What is not changed stays as it is, in the same order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Block {
    lines: Vec<Line>,
}

impl Block {
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, BlockError> {
        if bytes.len() != SIZE {
            return Err(BlockError::Malformed("it is not 1024 bytes long"));
        }
        let mut rest = bytes
            .strip_prefix(SIGNATURE)
            .ok_or(BlockError::Malformed("it does not begin with GRUB's signature"))?;
        let mut lines = Vec::new();
        while let Some((line, behind)) = split_line(rest) {
            lines.push(read_line(line)?);
            rest = behind;
        }
        if !rest.iter().all(|byte| *byte == b'#') {
            return Err(BlockError::Malformed("its last line does not end"));
        }
        Ok(Self { lines })
    }

    pub(super) fn to_bytes(&self) -> Result<Vec<u8>, BlockError> {
        let mut bytes = SIGNATURE.to_vec();
        for line in &self.lines {
            match line {
                Line::Comment(text) => bytes.extend_from_slice(text),
                Line::Variable { name, value } => {
                    bytes.extend_from_slice(name);
                    bytes.push(b'=');
                    for byte in value {
                        if matches!(byte, b'\\' | b'\n') {
                            bytes.push(b'\\');
                        }
                        bytes.push(*byte);
                    }
                }
            }
            bytes.push(b'\n');
        }
        if bytes.len() > SIZE {
            return Err(BlockError::Full);
        }
        bytes.resize(SIZE, b'#');
        Ok(bytes)
    }

    pub(super) fn get(&self, wanted: &str) -> Option<&[u8]> {
        self.variables().find(|(name, _)| *name == wanted.as_bytes()).map(|(_, value)| value)
    }

    pub(super) fn variables(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.lines.iter().filter_map(|line| match line {
            Line::Variable { name, value } => Some((name.as_slice(), value.as_slice())),
            Line::Comment(_) => None,
        })
    }

    pub(super) fn set(&mut self, wanted: &str, new: &str) {
        for line in &mut self.lines {
            if let Line::Variable { name, value } = line
                && name == wanted.as_bytes()
            {
                *value = new.as_bytes().to_vec();
                return;
            }
        }
        let (name, value) = (wanted.as_bytes().to_vec(), new.as_bytes().to_vec());
        self.lines.push(Line::Variable { name, value });
    }
}

/// The first line without its newline, and what follows. A backslash takes a newline into the line.
fn split_line(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let is_comment = bytes.first() == Some(&b'#');
    let mut is_escaped = false;
    let end = bytes.iter().position(|byte| {
        let ends = *byte == b'\n' && !is_escaped;
        is_escaped = !is_comment && *byte == b'\\' && !is_escaped;
        ends
    })?;
    let (line, behind) = bytes.split_at_checked(end)?;
    Some((line, behind.get(1..)?))
}

fn read_line(line: &[u8]) -> Result<Line, BlockError> {
    if line.first() == Some(&b'#') {
        return Ok(Line::Comment(line.to_vec()));
    }
    let equals = line.iter().position(|byte| *byte == b'=');
    let (name, value) = equals
        .filter(|place| *place > 0)
        .and_then(|place| line.split_at_checked(place))
        .ok_or(BlockError::Malformed("a line is not name=value"))?;
    let mut unescaped = Vec::with_capacity(value.len());
    let mut bytes = value.iter().skip(1);
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' => unescaped.extend(bytes.next()),
            byte => unescaped.push(*byte),
        }
    }
    Ok(Line::Variable { name: name.to_vec(), value: unescaped })
}

#[cfg(test)]
mod tests {
    use std::{fs, process::Command};

    use proptest::prelude::*;

    use super::*;

    /// Runs Debian's `grub-editenv` on a file and returns what it prints.
    fn editenv(file: &std::path::Path, arguments: &[&str]) -> String {
        let output = Command::new("grub-editenv").arg(file).args(arguments).output();
        let output = output.expect("grub-editenv (package grub-common) is there; see make setup");
        assert!(output.status.success(), "grub-editenv {arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    #[test]
    fn grub_editenv_writes_what_we_read_and_reads_what_we_write() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("env");
        editenv(&file, &["create"]);
        editenv(&file, &["set", "mender_boot_part=2", r"odd=a\b#c=d"]);
        let original = fs::read(&file).unwrap();
        let mut block = Block::parse(&original).unwrap();
        assert_eq!(block.get("mender_boot_part"), Some(&b"2"[..]));
        assert_eq!(block.get("odd"), Some(&br"a\b#c=d"[..]));
        assert_eq!(block.to_bytes().unwrap(), original);

        block.set("mender_boot_part", "11");
        block.set("upgrade_available", "1");
        fs::write(&file, block.to_bytes().unwrap()).unwrap();
        let listed = editenv(&file, &["list"]);
        assert_eq!(listed, "mender_boot_part=11\nodd=a\\b#c=d\nupgrade_available=1\n");

        // The same change by both ends in the same bytes.
        block.set("bootcount", "0");
        editenv(&file, &["set", "bootcount=0"]);
        assert_eq!(block.to_bytes().unwrap(), fs::read(&file).unwrap());
    }

    #[test]
    fn damaged_blocks_are_refused() {
        let mut block = Block::default();
        block.set("a", "1");
        let sound = block.to_bytes().unwrap();
        let with = |place: usize, byte: u8| {
            let mut bytes = sound.clone();
            bytes[place] = byte;
            Block::parse(&bytes)
        };
        assert!(with(SIZE - 1, b'#').is_ok());
        assert!(with(0, 0).is_err());
        assert!(with(SIZE - 1, b'x').is_err());
        assert!(with(SIGNATURE.len() + 1, b'x').is_err());
        assert!(Block::parse(&sound[1..]).is_err());
        assert!(Block::parse(b"").is_err());
        block.set("b", &"x".repeat(SIZE));
        assert_eq!(block.to_bytes(), Err(BlockError::Full));
    }

    proptest! {
        #[test]
        fn any_values_survive(values in prop::collection::btree_map("[a-z_]{1,8}", "(?s).{0,20}", 0..8)) {
            let mut block = Block::default();
            for (name, value) in &values {
                block.set(name, value);
            }
            let read = Block::parse(&block.to_bytes().unwrap()).unwrap();
            for (name, value) in &values {
                prop_assert_eq!(read.get(name), Some(value.as_bytes()));
            }
        }

        #[test]
        fn no_bytes_crash_the_reader(mut bytes in prop::collection::vec(any::<u8>(), SIZE)) {
            let _ = Block::parse(&bytes);
            bytes[..SIGNATURE.len()].copy_from_slice(SIGNATURE);
            let _ = Block::parse(&bytes);
        }
    }
}
