//! `rota-artifact dump`.

use std::{
    fs::{self, File},
    io::{self, Read},
    path::Path,
};

use rota_artifact::{Error, Header, Limits, Reader, Summary};

use super::{
    args::DumpArgs,
    failure::{Code, Failure},
    open, print,
};

pub(crate) fn run(args: &DumpArgs) -> Result<(), Failure> {
    let invalid = |error: Error| Failure::new(Code::Invalid, error);
    let mut reader = Reader::open(open(&args.artifact)?, &Limits::default()).map_err(invalid)?;
    let header = reader.header().clone();
    if let Some(folder) = &args.scripts {
        for script in &header.scripts {
            create(folder, &script.name, &mut &*script.content)?;
        }
    }
    if let Some(folder) = &args.meta_data
        && !header.payload.meta_data_json.is_empty()
    {
        create(folder, "0000.meta-data", &mut &*header.payload.meta_data_json)?;
    }
    let mut payload = reader.payload().map_err(invalid)?;
    while let Some(mut file) = payload.next_file().map_err(invalid)? {
        if let Some(folder) = &args.files {
            let name = file.name().to_owned();
            create(folder, &name, &mut file)?;
        }
    }
    let summary = reader.finish().map_err(invalid)?;
    let words = command_line(&header, &summary, args);
    if args.print0_cmdline {
        print(&(words.join("\0") + "\0"))?;
    } else if args.print_cmdline {
        let quoted: Vec<_> = words.iter().map(|word| quote(word)).collect();
        print(&format!("{}\n", quoted.join(" ")))?;
    }
    Ok(())
}

/// Writes a file that must not exist yet. One whose content turns out to be bad is removed.
fn create(folder: &Path, name: &str, content: &mut dyn Read) -> Result<(), Failure> {
    let path = folder.join(name);
    let on_disk = |error: io::Error| {
        let error = anyhow::Error::from(error).context(format!("cannot write {}", path.display()));
        Failure::new(Code::Dump, error)
    };
    fs::create_dir_all(folder).map_err(on_disk)?;
    let mut file = File::create_new(&path).map_err(on_disk)?;
    let result = io::copy(content, &mut file);
    result.map(drop).map_err(|error| {
        // The file is of no use; that it is still there is the lesser trouble.
        let _ = fs::remove_file(&path);
        if error.get_ref().is_some_and(<dyn std::error::Error + Send + Sync>::is::<Error>) {
            Failure::new(Code::Invalid, Error::from_read(error))
        } else {
            on_disk(error)
        }
    })
}

/// The arguments of `write` that make such an Artifact, with the files where they were dumped.
fn command_line(header: &Header, summary: &Summary, args: &DumpArgs) -> Vec<String> {
    let payload = &header.payload;
    let mut words = vec!["write".to_owned()];
    let mut add = |words_of: &[&str]| words.extend(words_of.iter().map(|word| (*word).to_owned()));
    match payload.payload_type.name() {
        None => add(&["bootstrap-artifact"]),
        Some(_) => add(&["module-image"]),
    }
    add(&["--artifact-name", &header.artifact_name]);
    for device_type in &header.depends.device_types {
        add(&["--device-type", device_type]);
    }
    if let Some(name) = payload.payload_type.name() {
        add(&["--type", name, "--no-default-software-version", "--no-default-clears-provides"]);
    }
    if let Some(group) = &header.artifact_group {
        add(&["--provides-group", group]);
    }
    for name in &header.depends.artifact_names {
        add(&["--artifact-name-depends", name]);
    }
    for group in &header.depends.artifact_groups {
        add(&["--depends-groups", group]);
    }
    for (key, value) in &payload.provides {
        add(&["--provides", &format!("{key}:{value}")]);
    }
    for (key, values) in &payload.depends {
        for value in values {
            add(&["--depends", &format!("{key}:{value}")]);
        }
    }
    for pattern in payload.clears_provides.iter().flatten() {
        add(&["--clears-provides", pattern]);
    }
    let path = |folder: &Path, name: &str| folder.join(name).display().to_string();
    if let (Some(folder), false) = (&args.meta_data, payload.meta_data_json.is_empty()) {
        add(&["--meta-data", &path(folder, "0000.meta-data")]);
    }
    if let Some(folder) = &args.scripts {
        for script in &header.scripts {
            add(&["--script", &path(folder, &script.name)]);
        }
    }
    if let Some(folder) = &args.files {
        for file in summary.updates.iter().flat_map(|update| &update.files) {
            add(&["--file", &path(folder, &file.name)]);
        }
    }
    words
}

/// Quotes a word for a POSIX shell.
fn quote(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:,+@%=".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_survive_a_shell() {
        assert_eq!(quote("plain-1.2:x"), "plain-1.2:x");
        assert_eq!(quote("two words"), "'two words'");
        assert_eq!(quote("it's"), r"'it'\''s'");
        assert_eq!(quote("*"), "'*'");
        assert_eq!(quote(""), "''");
    }
}
