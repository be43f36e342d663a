//! Packages, with the real dpkg.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

use rota_artifact::Builder;
use rustix::process::{Pid, Signal, getpgid, kill_process_group};

use super::{artifact_name, put, run, succeeds};
use crate::{
    daemon::{Rota, has_status, statuses},
    device::{Daemon, Device, Finished},
};

/// A device that installs packages into a root of their own.
struct Packages {
    device: Device,
    root: PathBuf,
}

impl Packages {
    fn new() -> Self {
        Self::on(Device::new())
    }

    fn on(mut device: Device) -> Self {
        let root = device.path("root");
        for folder in ["updates", "info"] {
            fs::create_dir_all(root.join("var/lib/dpkg").join(folder)).unwrap();
        }
        for file in ["status", "available"] {
            fs::write(root.join("var/lib/dpkg").join(file), "").unwrap();
        }
        device.set_environment("DPKG_ROOT", &root);
        // Whoever runs the tests may install into a root of their own.
        device.write(
            ".dpkg.cfg",
            "force-not-root\nforce-bad-path\nforce-script-chrootless\nlog /dev/null\n",
        );
        device.set_environment("HOME", device.path(""));
        Self { device, root }
    }

    fn build(&self, name: &str, version: &str, architecture: &str, more: &str) -> PathBuf {
        self.build_with(None, name, version, architecture, more)
    }

    /// With a maintainer script of that name.
    fn build_with(
        &self,
        script: Option<(&str, String)>,
        name: &str,
        version: &str,
        architecture: &str,
        more: &str,
    ) -> PathBuf {
        let folder = self.device.path("package");
        fs::create_dir_all(folder.join("DEBIAN")).unwrap();
        if let Some((script, text)) = script {
            let path = folder.join("DEBIAN").join(script);
            fs::write(&path, text).unwrap();
            fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        fs::create_dir_all(folder.join("opt")).unwrap();
        fs::write(folder.join("opt").join(name), version).unwrap();
        let control = format!(
            "Package: {name}\nVersion: {version}\nArchitecture: {architecture}\n\
             Maintainer: nobody <nobody@example.com>\nDescription: test\n{more}"
        );
        fs::write(folder.join("DEBIAN/control"), control).unwrap();
        let path = self.device.path(&format!("{name}.deb"));
        let mut dpkg_deb = Command::new("dpkg-deb");
        run(dpkg_deb.args(["--root-owner-group", "--build"]).arg(&folder).arg(&path));
        fs::remove_dir_all(folder).unwrap();
        path
    }

    fn install(&self, builder: Builder) -> Finished {
        self.device.run(&["install", &put(&self.device, builder)])
    }

    fn installed(&self, name: &str) -> Option<String> {
        fs::read_to_string(self.root.join("opt").join(name)).ok()
    }
}

fn debs(name: &str, packages: &[&Path]) -> Builder {
    let builder = Builder::module_image("deb", name);
    packages.iter().fold(builder, |builder, package| builder.file(*package))
}

#[test]
fn packages_are_installed_together_and_committed_at_once() {
    let packages = Packages::new();
    // Each before what it depends on: only together can they be configured.
    let app = packages.build("app", "1.0", "all", "Depends: zlibrary\n");
    let library = packages.build("zlibrary", "1.0", "all", "");
    succeeds(&packages.install(debs("debs-1", &[&app, &library])), "Committing immediately");
    assert_eq!(packages.installed("app").as_deref(), Some("1.0"));
    assert_eq!(artifact_name(&packages.device), "debs-1\n");
    let status = fs::read_to_string(packages.root.join("var/lib/dpkg/status")).unwrap();
    assert_eq!(status.matches("Status: install ok installed").count(), 2, "{status}");

    // dpkg stops in between, and the next update mends that.
    let needy = packages.build("app", "2.0", "all", "Depends: zlibrary (>= 2.0)\n");
    let failed = packages.install(debs("debs-2", &[&needy]));
    assert_eq!(failed.code(), Some(1));
    assert!(failed.stdout().contains("does not support rollback"), "{}", failed.stdout());
    assert!(failed.stderr().contains("dependency problems"), "{}", failed.stderr());
    assert_eq!(artifact_name(&packages.device), "debs-2_INCONSISTENT\n");
    let library = packages.build("zlibrary", "2.0", "all", "");
    succeeds(&packages.install(debs("debs-3", &[&library])), "Committing immediately");
    succeeds(&packages.install(debs("debs-4", &[&needy])), "Committing immediately");
    assert_eq!(artifact_name(&packages.device), "debs-4\n");
}

#[test]
fn packages_that_do_not_fit_are_refused_before_anything_changes() {
    let packages = Packages::new();
    let good = packages.build("good", "1.0", "all", "");
    let foreign = packages.build("foreign", "1.0", "vax", "");
    let broken = packages.device.path("broken.deb");
    fs::write(&broken, "not a package").unwrap();
    let text = packages.device.path("readme.txt");
    fs::write(&text, "text").unwrap();
    for (files, expected) in [
        (&[good.as_path(), &foreign][..], "foreign.deb is for \"vax\""),
        (&[&good, &broken], "broken.deb is no package"),
        (&[&text], "no file that ends in .deb"),
    ] {
        let failed = packages.install(debs("debs", files));
        assert_eq!(failed.code(), Some(1));
        assert!(failed.stdout().contains("System not modified."), "{}", failed.stdout());
        assert!(failed.stderr().contains(expected), "{}", failed.stderr());
        assert_eq!(packages.installed("good"), None);
    }
}

impl Packages {
    /// Goes wrong as the file `mishap` says: it hangs, fails, or is as good as none.
    fn script(&self) -> String {
        let folder = self.device.path("").display().to_string();
        format!(
            r#"#!/bin/sh
            cd '{folder}' || exit 1
            case "$(cat mishap)" in
            hang)
                echo $$ > hanging.new; mv hanging.new hanging
                while :; do sleep 600; done ;;
            fail) exit 1 ;;
            esac"#
        )
    }

    /// Ends the client, and all that hangs with it, as when the power goes.
    fn cut_power(&self, daemon: Daemon) {
        let script = self.device.read("hanging").unwrap().trim().parse().unwrap();
        let group = getpgid(Pid::from_raw(script)).unwrap();
        daemon.kill();
        kill_process_group(group, Signal::KILL).unwrap();
        fs::remove_file(self.device.path("hanging")).unwrap();
    }

    fn status(&self) -> String {
        let status = fs::read_to_string(self.root.join("var/lib/dpkg/status")).unwrap();
        let line = status.lines().find(|line| line.starts_with("Status: "));
        line.unwrap_or_default().to_owned()
    }
}

/// Before the files are unpacked and after it; what is left can be finished, or it cannot.
#[test]
fn a_package_whose_script_is_killed_half_way_fails_and_a_sound_version_is_installed() {
    for (script, later, left) in [
        ("preinst", "none", "Status: install reinstreq half-installed"),
        ("postinst", "none", "Status: install ok installed"),
        ("postinst", "fail", "Status: install ok half-configured"),
    ] {
        let what = format!("{script}, then {later}");
        let rota = Rota::default();
        let server = rota.start();
        let packages = Packages::on(Device::with_server(&server.url()));
        let device = &packages.device;
        let text = packages.script();
        let bad = packages.build_with(Some((script, text)), "app", "1.0", "all", "");
        let artifact = |builder: Builder| builder.device_type("board").to_vec().unwrap();
        device.write("mishap", "hang");
        rota.deploy_bytes(artifact(debs("debs-1", &[&bad])));
        let daemon = device.start_daemon();
        device.wait_for("hanging");
        packages.cut_power(daemon);

        device.write("mishap", later);
        let daemon = device.start_daemon();
        server.wait_until("failure", |requests| has_status(requests, "failure"));
        let told = ["downloading", "installing", "failure"];
        assert_eq!(statuses(&server.requests()), told, "{what}");
        assert_eq!(packages.status(), left, "{what}");
        assert_eq!(artifact_name(device), "debs-1_INCONSISTENT\n", "{what}");

        let sound = packages.build("app", "2.0", "all", "");
        rota.deploy_bytes(artifact(debs("debs-2", &[&sound])));
        server.wait_until("success", |requests| has_status(requests, "success"));
        daemon.stop();
        assert_eq!(packages.status(), "Status: install ok installed", "{what}");
        assert_eq!(packages.installed("app").as_deref(), Some("2.0"), "{what}");
        assert_eq!(artifact_name(device), "debs-2\n", "{what}");
    }
}
