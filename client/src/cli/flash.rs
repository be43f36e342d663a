//! `mender-flash`: writes an image to a block device, a UBI volume or a file.

use std::{
    ffi::OsString,
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use lexopt::prelude::*;
use rota_client::{
    flash::{self, MissingFile},
    host::Host,
    wake::Wake,
};

use super::{Exit, say, signal};

/// Where from and where to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Flags {
    /// `None` is standard input.
    input: Option<PathBuf>,
    output: PathBuf,
    size_bytes: Option<u64>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Parsed {
    Help,
    Version,
    Run(Flags),
}

/// Reads the command line; the first item is the program's name.
pub(super) fn parse(arguments: impl Iterator<Item = OsString>) -> Result<Parsed, lexopt::Error> {
    let mut parser = lexopt::Parser::from_iter(arguments);
    let (mut input, mut output, mut size_bytes) = (None, None, None);
    while let Some(argument) = parser.next()? {
        match argument {
            Short('h') | Long("help") => return Ok(Parsed::Help),
            Short('V') | Long("version") => return Ok(Parsed::Version),
            Short('i') | Long("input") => input = Some(PathBuf::from(parser.value()?)),
            Short('o') | Long("output") => output = Some(PathBuf::from(parser.value()?)),
            Short('s') | Long("input-size") => size_bytes = Some(parser.value()?.parse()?),
            // What is there is always compared, and always synced every now and then.
            Short('w') | Long("write-everything") => {}
            Short('f') | Long("fsync-interval") => {
                parser.value()?.parse::<u64>()?;
            }
            Short(letter) => return Err(format!("Unrecognized option '-{letter}'").into()),
            Long(name) => return Err(format!("Unrecognized option '--{name}'").into()),
            Value(word) => return Err(format!("Too many arguments: {}", word.display()).into()),
        }
    }
    let output = output.ok_or("need an --output")?;
    let input = input.filter(|path| path != Path::new("-"));
    Ok(Parsed::Run(Flags { input, output, size_bytes }))
}

pub(super) fn run(flags: &Flags) -> anyhow::Result<Exit> {
    let wake = Wake::default();
    signal::listen(&wake)?;
    let (mut image, found_bytes): (Box<dyn Read>, _) = match &flags.input {
        None => (Box::new(io::stdin().lock()), None),
        Some(path) => {
            let file =
                File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
            let metadata = file.metadata().ok().filter(std::fs::Metadata::is_file);
            (Box::new(file), metadata.map(|metadata| metadata.len()))
        }
    };
    let Some(size_bytes) = flags.size_bytes.or(found_bytes) else {
        bail!("the size of the image cannot be seen; pass it with --input-size");
    };
    let output = std::path::absolute(&flags.output).context("cannot tell what --output means")?;
    let missing =
        if output.starts_with("/dev") { MissingFile::Refuse } else { MissingFile::Create };
    let mut target = flash::open(&Host::default(), &output, missing)?;
    // A file may be longer than what is asked for.
    let mut image = image.by_ref().take(size_bytes);
    say(&flash::write(&mut image, size_bytes, &mut *target, &wake)?.to_string());
    Ok(Exit::Success)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(line: &str) -> Result<Parsed, String> {
        let words = std::iter::once("mender-flash").chain(line.split_whitespace());
        parse(words.map(OsString::from)).map_err(|error| error.to_string())
    }

    #[test]
    fn flags_are_those_of_menders_program() {
        let flags = Flags { input: None, output: "/o".into(), size_bytes: Some(7) };
        assert_eq!(of("-s 7 -o /o -i - -w -f 1048576"), Ok(Parsed::Run(flags)));
        assert_eq!(of("-V"), Ok(Parsed::Version));
        assert_eq!(of("-i /i"), Err("need an --output".to_owned()));
        assert_eq!(of("-o /o more"), Err("Too many arguments: more".to_owned()));
        assert_eq!(of("--bogus"), Err("Unrecognized option '--bogus'".to_owned()));
    }
}
