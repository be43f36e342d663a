//! Artifacts given to scripted modules, and to a real one of Debian's.

use std::{
    fs,
    io::{self, Cursor},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use rota_artifact::{Builder, Compression};
use tempfile::TempDir;

use super::*;
use crate::{
    log::{Level, Log},
    payloads::{ContainerSettings, RootfsSettings},
    process::Mark,
    wake::Wake,
};

/// A module that notes its calls in `$log` and drains the stream.
const STREAMING: &str = r#"
if [ "$1" = Download ] || [ "$1" = DownloadWithFileSizes ]; then
    while line=$(cat stream-next) && [ -n "$line" ]; do
        echo "next: $line" >> "$log"
        cat "${line%% *}" >> "$log"
        echo >> "$log"
    done
fi"#;

struct Device {
    folder: TempDir,
    modules: UpdateModules,
}

impl Device {
    fn new(module: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::create_dir(path("modules")).unwrap();
        fs::write(path("device_type"), "device_type=board\n").unwrap();
        let settings = ModuleSettings {
            modules: path("modules"),
            work_tree: path("tree"),
            artifact_scripts: path("scripts"),
            device_type_file: path("device_type"),
            verify_keys: None,
            downgrade_protection: Vec::new(),
            mark: Mark::new(folder.path()),
            limit: Duration::from_mins(1),
            rootfs: RootfsSettings::default(),
            containers: ContainerSettings::default(),
        };
        let device = Self { modules: Self::installer(settings), folder };
        let log = device.path("log");
        device.add_module("test", &format!("log={}\n{module}", log.display()));
        device
    }

    fn installer(settings: ModuleSettings) -> UpdateModules {
        let log = Log::new(Level::Error, Box::new(io::sink()));
        UpdateModules::new(settings, Wake::default(), log)
    }

    fn change_settings(&mut self, change: impl FnOnce(&mut ModuleSettings)) {
        let mut settings = self.modules.settings().clone();
        change(&mut settings);
        self.modules = Self::installer(settings);
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn add_module(&self, name: &str, body: &str) {
        let path = self.path("modules").join(name);
        fs::write(&path, format!("#!/bin/sh\n{body}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    fn open(&mut self, artifact: Builder) -> Result<ArtifactInfo, InstallError> {
        let bytes = artifact.to_vec().unwrap();
        self.modules.open(Box::new(Cursor::new(bytes)), &software())
    }

    /// Opens and stores an Artifact.
    fn download(&mut self, artifact: Builder) -> Result<(), InstallError> {
        self.open(artifact)?;
        self.modules.store()
    }
}

fn software() -> Software {
    Software { artifact_name: "old".into(), ..Software::default() }
}

fn artifact() -> Builder {
    Builder::module_image("test", "new").device_type("board")
}

fn two_files() -> Builder {
    artifact().file_bytes("first", "one").file_bytes("second", vec![b'2'; 200_000])
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn the_work_tree_says_what_artifact_and_device_say() {
    let mut device = Device::new("");
    let meta_data = [("answer".to_owned(), 42.into())].into_iter().collect();
    let script = ("ArtifactInstall_Enter_00", "#!/bin/sh\n");
    let builder = artifact()
        .provides_group("group")
        .meta_data(meta_data)
        .script(script.0, script.1)
        .file_bytes("first", "one");
    device.download(builder).unwrap();

    let tree = device.path("tree");
    for (name, content) in [
        ("version", "3\n"),
        ("current_artifact_name", "old\n"),
        ("current_artifact_group", ""),
        ("current_device_type", "board\n"),
        ("header/artifact_name", "new"),
        ("header/artifact_group", "group"),
        ("header/payload_type", "test"),
        ("header/meta-data", r#"{"answer":42}"#),
        ("files/first", "one"),
    ] {
        assert_eq!(read(&tree.join(name)), content, "{name}");
    }
    for (name, field) in [("header/header-info", "payloads"), ("header/type-info", "type")] {
        let json: serde_json::Value = serde_json::from_str(&read(&tree.join(name))).unwrap();
        assert!(json.get(field).is_some(), "{name}");
    }
    assert!(tree.join("tmp").is_dir());
    assert!(!tree.join("streams").exists() && !tree.join("stream-next").exists());

    let scripts = device.path("scripts");
    assert_eq!(read(&scripts.join("version")), "3");
    let mode = fs::metadata(scripts.join(script.0)).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
}

#[test]
fn a_module_that_leaves_the_stream_alone_finds_files() {
    let mut device = Device::new(r#"echo "$1" >> "$log""#);
    device.download(two_files().file_bytes("empty", "")).unwrap();
    assert_eq!(device.log(), "ProvidePayloadFileSizes\nDownload\n");
    assert_eq!(read(&device.path("tree/files/first")), "one");
    assert_eq!(read(&device.path("tree/files/second")).len(), 200_000);
    assert_eq!(read(&device.path("tree/files/empty")), "");
}

#[test]
fn a_module_reads_the_files_one_by_one() {
    for compression in [Compression::None, Compression::Gzip, Compression::Xz, Compression::Zstd] {
        let mut device = Device::new(STREAMING);
        let builder = two_files().file_bytes("empty", "").compression(compression);
        device.download(builder).unwrap();
        let twos = "2".repeat(200_000);
        let expected = format!(
            "next: streams/first\none\nnext: streams/second\n{twos}\nnext: streams/empty\n\n"
        );
        assert!(device.log() == expected, "{compression}");
        assert_eq!(fs::read_dir(device.path("tree/files")).unwrap().count(), 0);
    }
}

#[test]
fn a_module_may_ask_for_the_sizes() {
    let module = format!(r#"[ "$1" = ProvidePayloadFileSizes ] && echo Yes{STREAMING}"#);
    let mut device = Device::new(&module);
    device.download(artifact().file_bytes("first", "one")).unwrap();
    assert_eq!(device.log(), "next: streams/first 3\none\n");
}

#[test]
fn a_module_that_does_not_drain_the_stream_has_failed() {
    for (behaviour, module) in [
        ("opens stream-next only", "cat stream-next"),
        ("opens a stream but does not read it", "cat stream-next; true < streams/first"),
        ("reads one file of two", "cat stream-next; cat streams/first"),
        (
            "reads all but the last, empty line",
            "cat stream-next; cat streams/first; cat stream-next; cat streams/second",
        ),
        (
            "reads some of a file",
            "cat stream-next; cat streams/first; cat stream-next; head -c 1 streams/second",
        ),
        ("fails after stream-next", "cat stream-next; exit 1"),
        ("fails at once", "exit 1"),
        (
            "dies in a file",
            "cat stream-next; cat streams/first; cat stream-next; head -c 9 streams/second; kill -9 $$",
        ),
    ] {
        let mut device =
            Device::new(&format!(r#"if [ "$1" = Download ]; then {module}; fi > /dev/null"#));
        let outcome = device.download(two_files());
        assert!(
            matches!(outcome, Err(InstallError::NotDrained | InstallError::Call { .. })),
            "a module that {behaviour}: {outcome:?}"
        );
        assert!(!device.path("tree/stream-next").exists(), "a module that {behaviour}");
    }
}

#[test]
fn a_module_that_hangs_is_ended() {
    for module in
        ["sleep 600", "cat stream-next; sleep 600", "cat stream-next; sleep 600 < streams/first"]
    {
        let mut device = Device::new(&format!(r#"if [ "$1" = Download ]; then {module}; fi"#));
        device.change_settings(|settings| settings.limit = Duration::from_millis(300));
        let outcome = device.download(two_files());
        assert!(
            matches!(
                outcome,
                Err(InstallError::Call { source: ProcessError::TimedOut { .. }, .. })
            ),
            "{module}: {outcome:?}"
        );
    }
}

#[test]
fn a_flipped_byte_is_found_before_the_module_sees_the_end() {
    let mut device = Device::new(&format!("{STREAMING}\necho complete >> \"$log\""));
    let mut bytes = two_files().compression(Compression::None).to_vec().unwrap();
    let place = bytes.windows(9).position(|window| window == b"222222222").unwrap();
    bytes[place + 5_000] = b'3';
    device.modules.open(Box::new(Cursor::new(bytes)), &software()).unwrap();
    let outcome = device.modules.store();
    let refused = matches!(
        outcome,
        Err(InstallError::Artifact(rota_artifact::Error::ChecksumMismatch { .. }))
    );
    assert!(refused, "{outcome:?}");
    // One line is from the question for sizes.
    assert_eq!(device.log().matches("complete").count(), 1);
}

#[test]
fn answers_are_single_words() {
    for (answer, expected) in [
        ("", Some(RebootNeed::No)),
        ("echo", Some(RebootNeed::No)),
        ("echo No", Some(RebootNeed::No)),
        ("echo Yes", Some(RebootNeed::Module)),
        ("echo Automatic", Some(RebootNeed::System)),
        ("echo Yes; echo Yes", None),
        ("echo yes", None),
        ("echo Yes; exit 1", None),
    ] {
        let mut device = Device::new("");
        device.download(artifact()).unwrap();
        device.add_module("test", answer);
        let found = device.modules.needs_reboot("test").ok();
        assert_eq!(found, expected, "{answer:?}");
    }
    let mut device = Device::new("");
    device.download(artifact()).unwrap();
    for (answer, expected) in [("echo Yes", Some(true)), ("", Some(false)), ("echo Perhaps", None)]
    {
        device.add_module("test", answer);
        assert_eq!(device.modules.supports_rollback("test").ok(), expected, "{answer:?}");
    }
}

#[test]
fn calls_get_their_name_and_the_tree() {
    let mut device = Device::new(r#"[ "$(pwd)" = "$2" ] && echo "$1 $2" >> "$log""#);
    device.download(artifact()).unwrap();
    device.modules.call("test", Call::ArtifactInstall).unwrap();
    let tree = device.path("tree");
    assert!(device.log().ends_with(&format!("ArtifactInstall {}\n", tree.display())));
}

#[test]
fn the_cleanup_is_called_once_and_takes_the_tree_even_if_it_fails() {
    let mut device = Device::new(r#"echo "$1" >> "$log"; [ "$1" != Cleanup ]"#);
    device.download(artifact()).unwrap();
    assert!(device.modules.clean_up(Some("test")).is_err());
    assert!(!device.path("tree").exists());
    device.modules.clean_up(Some("test")).unwrap();
    assert_eq!(device.log().matches("Cleanup").count(), 1);
}

#[test]
fn what_is_left_of_a_removed_tree_is_in_nobodys_way() {
    let mut device = Device::new("");
    fs::create_dir_all(device.path("tree.removed/header")).unwrap();
    device.download(artifact()).unwrap();
    assert!(!device.path("tree.removed").exists());
    device.modules.clean_up(Some("test")).unwrap();
    assert!(!device.path("tree").exists() && !device.path("tree.removed").exists());
}

#[test]
fn an_artifact_for_another_device_changes_nothing() {
    let mut device = Device::new("");
    let other_type = Builder::module_image("test", "new").device_type("other");
    assert!(matches!(device.open(other_type), Err(InstallError::Unmet(_))));
    let other_software = artifact().depends_on_artifact("not-installed");
    assert!(matches!(device.open(other_software), Err(InstallError::Unmet(_))));
    let unknown_module = Builder::module_image("absent", "new").device_type("board");
    assert!(matches!(device.open(unknown_module), Err(InstallError::NoModule { .. })));
    assert!(!device.path("tree").exists() && !device.path("scripts").exists());
    assert!(matches!(device.modules.store(), Err(InstallError::NothingOpen)));
}

#[test]
fn payload_types_cannot_lead_out_of_the_module_folder() {
    let mut device = Device::new("");
    for payload_type in ["../modules/test", "..", "", "/bin/true"] {
        let outcome = device.modules.call(payload_type, Call::ArtifactInstall);
        assert!(matches!(outcome, Err(InstallError::IllegalPayloadType { .. })), "{payload_type}");
    }
}

#[test]
fn each_type_that_the_inventory_tells_of_is_built_in() {
    let mut device = Device::new("");
    for payload_type in crate::payloads::TYPES {
        let artifact = Builder::module_image(payload_type, "new").device_type("board");
        device.open(artifact.file_bytes("content", "new")).unwrap();
    }
}

#[test]
fn with_keys_only_signed_artifacts_are_opened() {
    use rota_artifact::SigningKey;

    let openssl = |arguments: &[&str]| {
        let output = std::process::Command::new("openssl").args(arguments).output().unwrap();
        assert!(output.status.success());
        output.stdout
    };
    let mut device = Device::new("");
    let mut keys = Vec::new();
    for name in ["bad", "good"] {
        let private = device.path(&format!("{name}.key"));
        let public = device.path(&format!("{name}.pem"));
        fs::write(&private, openssl(&["ecparam", "-name", "prime256v1", "-genkey", "-noout"]))
            .unwrap();
        fs::write(&public, openssl(&["ec", "-in", private.to_str().unwrap(), "-pubout"])).unwrap();
        keys.push(public);
    }
    let bad_key = keys[0].clone();
    device.change_settings(|settings| settings.verify_keys = Some(keys));
    let signed = || {
        let pem = fs::read(device.path("good.key")).unwrap();
        artifact().sign_with(SigningKey::from_pem(&pem).unwrap())
    };
    let (good, late) = (signed(), signed());
    device.open(good).unwrap();
    assert!(matches!(
        device.open(artifact()),
        Err(InstallError::Artifact(rota_artifact::Error::MissingSignature))
    ));
    device.change_settings(|settings| settings.verify_keys = Some(vec![bad_key]));
    assert!(matches!(
        device.open(late),
        Err(InstallError::Artifact(rota_artifact::Error::WrongSignature))
    ));
    // They were configured, but none was understood.
    device.change_settings(|settings| settings.verify_keys = Some(vec![]));
    assert!(matches!(device.open(artifact()), Err(InstallError::NoVerifyKey)));
}

/// The module of Debian's package mender-client, unchanged.
#[test]
fn debians_single_file_module_installs_and_rolls_back() {
    let module = Path::new("/usr/share/mender/modules/v3/single-file");
    assert!(module.exists(), "Debian's package mender-client is installed");
    let mut device = Device::new("");
    fs::copy(module, device.path("modules/single-file")).unwrap();
    let target = device.path("target");
    fs::create_dir(&target).unwrap();
    fs::write(target.join("motd"), "old").unwrap();
    let builder = Builder::module_image("single-file", "new")
        .device_type("board")
        .file_bytes("dest_dir", format!("{}\n", target.display()))
        .file_bytes("filename", "motd\n")
        .file_bytes("permissions", "644\n")
        .file_bytes("motd", "new");
    device.download(builder).unwrap();
    let modules = &mut device.modules;
    modules.call("single-file", Call::ArtifactInstall).unwrap();
    assert_eq!(read(&target.join("motd")), "new");
    assert_eq!(modules.needs_reboot("single-file").unwrap(), RebootNeed::No);
    assert!(modules.supports_rollback("single-file").unwrap());
    modules.call("single-file", Call::ArtifactRollback).unwrap();
    assert_eq!(read(&target.join("motd")), "old");
    modules.clean_up(Some("single-file")).unwrap();
}
