use super::*;

fn of(line: &str) -> Result<Parsed, String> {
    let mut words = line.split_whitespace().map(OsString::from).peekable();
    let program = Program::called_as(words.peek().unwrap());
    parse(program, &mut words).map_err(|error| error.to_string())
}

fn run(line: &str) -> Arguments {
    match of(line) {
        Ok(Parsed::Run(arguments)) => *arguments,
        other => panic!("{line}: {other:?}"),
    }
}

#[test]
fn options_may_stand_on_either_side_of_the_command() {
    for line in [
        "rota-client -c /c --data /d install /a --reboot-exit-code",
        "mender-update install /a --reboot-exit-code --config=/c -d /d",
        "mender -config /c -data=/d --no-syslog -install /a -reboot-exit-code",
    ] {
        let Arguments { command, common } = run(line);
        assert_eq!(common.config, Some("/c".into()), "{line}");
        assert_eq!(common.data_dir, Some("/d".into()), "{line}");
        let by_hand = ByHand { reboot_exit_code: true, ..ByHand::default() };
        assert_eq!(command, Command::Install { artifact: "/a".into(), by_hand }, "{line}");
    }
    assert_eq!(run("mender-update --log-level warn daemon").common.log_level, Some(Level::Warning));
    assert_eq!(of("mender-update daemon -h"), Ok(Parsed::Help));
    assert_eq!(of("mender help"), Ok(Parsed::Help));
    assert_eq!(of("mender -version"), Ok(Parsed::Version));
}

#[test]
fn a_word_with_one_dash_is_never_a_letter_with_its_value() {
    for (line, level) in
        [("mender -debug -daemon", Level::Debug), ("mender -info -daemon", Level::Info)]
    {
        let Common { data_dir, log_level, .. } = run(line).common;
        assert_eq!((data_dir, log_level), (None, Some(level)), "{line}");
    }
    assert_eq!(of("mender setup -demo"), of("mender setup --demo"));
    assert_eq!(of("mender -ddata daemon"), Err("Unrecognized option '--ddata'".to_owned()));
    for line in ["mender -d/d daemon", "mender -d=/d daemon", "mender -d /d daemon"] {
        assert_eq!(run(line).common.data_dir, Some("/d".into()), "{line}");
    }
}

#[test]
fn stops_add_up() {
    let line = "rota-client resume --stop-before Cleanup --stop-before=ArtifactCommit_Leave";
    let Command::Resume(by_hand) = run(line).command else { panic!("not resume") };
    assert_eq!(by_hand.stop_before, [StopPoint::Cleanup, StopPoint::CommitLeave]);
}

#[test]
fn programs_have_their_own_commands() {
    let auth = Command::AuthDaemon { force_bootstrap: true };
    assert_eq!(run("mender-auth daemon -F").command, auth);
    let all = Command::Daemon { force_bootstrap: true };
    assert_eq!(run("mender -F -daemon").command, all);
    for (line, command) in [
        ("mender-auth install a", "install"),
        ("mender-auth commit", "commit"),
        ("mender-update bootstrap", "bootstrap"),
        ("mender-update setup", "setup"),
    ] {
        assert_eq!(of(line), Err(format!("no such command: {command}")), "{line}");
    }
}

#[test]
fn mender_setup_and_mender_snapshot_are_commands_of_their_own() {
    for line in [
        "mender-setup --device-type a --url b -q",
        "mender setup --device-type=a --server-url b -q",
    ] {
        let Ok(Parsed::Setup(_, flags)) = of(line) else { panic!("{line}") };
        let text = |text: &str| Some(text.to_owned());
        assert_eq!((flags.device_type, flags.server_url), (text("a"), text("b")), "{line}");
        assert!(flags.quiet, "{line}");
    }
    for line in [
        "mender-snapshot dump --source /data -C gzip",
        "rota-client snapshot dump --source /data -C gzip",
    ] {
        let Command::SnapshotDump(flags) = run(line).command else { panic!("{line}") };
        assert_eq!(
            (flags.source, flags.compression),
            ("/data".into(), Compression::Gzip),
            "{line}"
        );
    }
    assert_eq!(
        of("mender-snapshot dance").err().as_deref(),
        Some("snapshot has one command: snapshot dump")
    );
}

#[test]
fn wrong_lines_say_what_is_wrong() {
    for (line, expected) in [
        ("", "need a command"),
        ("install", "Need a path to an artifact"),
        ("install a b", "Too many arguments: b"),
        ("show-artifact b", "Too many arguments: b"),
        ("dance", "no such command: dance"),
        ("show-artifact -F", "--forcebootstrap does not go with show-artifact"),
        ("daemon --allow-downgrade", "--allow-downgrade does not go with daemon"),
        ("daemon --stop-before Cleanup", "--stop-before does not go with daemon"),
        (
            "resume --stop-before Now",
            "cannot stop before Now; the points are ArtifactInstall_Enter, ArtifactCommit_Enter, \
             ArtifactCommit_Leave, ArtifactRollback_Enter, ArtifactFailure_Enter, Cleanup",
        ),
        ("-l loud daemon", "no such log level: loud"),
        ("status --output yaml", "no such output: yaml; there are text and json"),
        ("daemon --output json", "--output does not go with daemon"),
        ("snapshot", "snapshot has one command: snapshot dump"),
        ("snapshot dump -C xz", "no such compression: xz; there are none and gzip"),
        ("setup now", "Too many arguments: now"),
        ("setup --stop-before Cleanup", "--stop-before does not go with setup"),
        (
            "setup --hosted-mender",
            "--hosted-mender is for a service of Mender's; pass --server-url and, if that server \
             wants one, --tenant-token",
        ),
        ("daemon --bogus", "Unrecognized option '--bogus'"),
        ("daemon -x", "Unrecognized option '-x'"),
        (
            "daemon --passphrase-file /p",
            "--passphrase-file: encrypted device keys cannot be used; store the key decrypted, \
             readable to root alone, or keep it in a PKCS#11 token",
        ),
    ] {
        assert_eq!(of(&format!("rota-client {line}")), Err(expected.to_owned()), "{line}");
    }
}
