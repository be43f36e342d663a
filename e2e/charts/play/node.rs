//! What stands in for a cluster's node: gives a pod its files, its address, its user, and a root
//! file system that it cannot write to, and starts its container as a process.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::{PermissionsExt, chown},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use rota_e2e::{
    process::{Process, Program},
    programs, wait,
};
use serde_json::Value;

use crate::{
    helm::{NAMESPACE, repository},
    objects::{Object, Objects, Pod, SERVICES},
};

/// Makes a root file system read-only, and starts a program in it.
const CONTAINER: &str = include_str!("container.sh");

/// An address for each service: on loopback, and of this test alone.
pub(super) struct Addresses(u32);

impl Addresses {
    pub(super) fn new() -> Self {
        Self(std::process::id())
    }

    /// The address of a component's pod. Whoever serves nothing has the last one.
    pub(super) fn of(&self, component: &str) -> String {
        let last = SERVICES.iter().position(|name| *name == component);
        let last = last.unwrap_or(SERVICES.len()) + 1;
        format!("127.{}.{}.{last}", 1 + self.0 / 254 % 254, 1 + self.0 % 254)
    }
}

/// A node, with the Secrets of a rendering.
pub(super) struct Node {
    folder: PathBuf,
    addresses: Addresses,
    secrets: BTreeMap<String, BTreeMap<String, Vec<u8>>>,
    /// `/etc/hosts` in every pod, for the cluster's DNS.
    hosts: String,
}

impl Node {
    pub(super) fn new(folder: &Path, objects: &Objects, addresses: Addresses) -> Result<Self> {
        let mut secrets = BTreeMap::new();
        for secret in objects.of_kind("Secret") {
            let mut files = BTreeMap::new();
            for (key, value) in secret["data"].as_object().into_iter().flatten() {
                files.insert(key.clone(), decode(value.as_str().unwrap_or_default())?);
            }
            secrets.insert(secret.name().to_owned(), files);
        }
        let lines = objects.of_kind("Service").map(|service| {
            let address = addresses.of(service.component());
            format!("{address} {}.{NAMESPACE}.svc\n", service.name())
        });
        Ok(Self { hosts: lines.collect(), folder: folder.to_owned(), addresses, secrets })
    }

    /// What a Secret has at a key.
    pub(super) fn secret(&self, name: &str, key: &str) -> Result<Vec<u8>> {
        let files = self.secrets.get(name).with_context(|| format!("no Secret {name}"))?;
        files.get(key).cloned().with_context(|| format!("no {key} in Secret {name}"))
    }

    /// Starts a pod.
    pub(super) fn start(&self, pod: &Pod<'_>) -> Result<Running> {
        let program = self.prepare(pod)?;
        let get = &pod.container()["readinessProbe"]["httpGet"];
        let port = get["port"].as_str().and_then(|name| pod.port(name));
        let address = self.addresses.of(pod.component());
        let ready = port.map(|port| {
            format!("http://{address}:{port}{}", get["path"].as_str().unwrap_or_default())
        });
        let seconds = pod.spec()["terminationGracePeriodSeconds"].as_u64().unwrap_or(30);
        let name = pod.component().to_owned();
        Ok(Running { name, process: program.start()?, ready, grace: Duration::from_secs(seconds) })
    }

    /// Runs a pod until its program ends well; again, as its restart policy says.
    pub(super) async fn finish(&self, pod: &Pod<'_>, limit: Duration) -> Result<()> {
        let program = self.prepare(pod)?;
        let again = pod.spec()["restartPolicy"] == "OnFailure";
        wait::until(pod.component(), limit, || async {
            match program.run() {
                Ok(_) => Ok(Some(Ok(()))),
                Err(error) if again => Err(error),
                Err(error) => Ok(Some(Err(error))),
            }
        })
        .await?
    }

    /// Lays out a pod's files; gives what starts it.
    fn prepare(&self, pod: &Pod<'_>) -> Result<Program> {
        let container = pod.container();
        let image = container["image"].as_str().unwrap_or_default();
        let name = image.rsplit('/').next().and_then(|name| name.split(':').next());
        let name = name.with_context(|| format!("{image} has no name"))?;
        let root = self.folder.join("pods").join(pod.component());
        ensure!(!root.exists(), "two pods of {}", pod.component());
        fs::create_dir_all(&root)?;
        run(Command::new(repository().join(".ci/rootfs")).arg(programs::ours(name)?).arg(&root))?;
        fs::write(root.join("etc/hosts"), &self.hosts)?;
        let writable = self.mount(pod, &root)?;
        let user = &pod.spec()["securityContext"];
        let (id, group) = (&user["runAsUser"], &user["runAsGroup"]);
        let owner = if is_root() { format!("{id}:{group}") } else { String::new() };
        let mut program = Program::new(pod.component(), "/usr/bin/unshare".into(), &self.folder)
            .argument(if is_root() { "--mount" } else { "--map-root-user" })
            .argument("--mount")
            .argument("/bin/sh")
            .argument("-c")
            .argument(CONTAINER)
            .argument("container")
            .argument(&root)
            .argument(&owner)
            .argument(writable.join(" "))
            // What the manifest says, and nothing of ours.
            .argument("/usr/bin/env")
            .argument("-i");
        for variable in pod.environment() {
            program = program.argument(self.variable(variable, pod)?);
        }
        program = program.argument("/usr/sbin/chroot");
        if is_root() {
            program = program
                .argument(format!("--userspec={owner}"))
                .argument(format!("--groups={}", user["fsGroup"]));
        }
        program = program.argument(&root).argument(format!("/{name}"));
        for argument in container["args"].items().filter_map(Value::as_str) {
            program = program.argument(argument);
        }
        Ok(program)
    }

    /// A variable as `name=value`, from where it is written or from a Secret.
    fn variable(&self, variable: &Value, pod: &Pod<'_>) -> Result<String> {
        let name = variable["name"].as_str().unwrap_or_default();
        let reference = &variable["valueFrom"]["secretKeyRef"];
        if let (Some(secret), Some(key)) = (reference["name"].as_str(), reference["key"].as_str()) {
            return Ok(format!("{name}={}", String::from_utf8(self.secret(secret, key)?)?));
        }
        let value = variable["value"].as_str().with_context(|| format!("{name} has no value"))?;
        // All addresses of the pod are one here, because all pods share the machine's.
        let value = value.replace("0.0.0.0:", &format!("{}:", self.addresses.of(pod.component())));
        Ok(format!("{name}={value}"))
    }

    /// Writes a pod's volumes where it sees them; gives the folders that it may write to.
    fn mount(&self, pod: &Pod<'_>, root: &Path) -> Result<Vec<String>> {
        let mut writable = Vec::new();
        for mount in pod.container()["volumeMounts"].items() {
            let path = mount["mountPath"].as_str().context("a mount without a path")?;
            let inside = root.join(path.trim_start_matches('/'));
            fs::create_dir_all(&inside)?;
            let mut volumes = pod.spec()["volumes"].items();
            let volume = volumes.find(|volume| volume["name"] == mount["name"]);
            let volume = volume.with_context(|| format!("no volume for {path}"))?;
            match volume["secret"]["secretName"].as_str() {
                Some(secret) => self.write(secret, &volume["secret"], &inside)?,
                None => writable.push(path.to_owned()),
            }
            ensure!(mount["readOnly"] == true || volume["secret"].is_null(), "{path} is writable");
        }
        Ok(writable)
    }

    /// Writes a Secret's files, readable by the pods' group alone.
    fn write(&self, name: &str, volume: &Value, folder: &Path) -> Result<()> {
        let all = self.secrets.get(name).with_context(|| format!("no Secret {name}"))?;
        let chosen: Vec<(String, String)> = match volume["items"].as_array() {
            Some(items) => items
                .iter()
                .filter_map(|item| Some((item["key"].as_str()?, item["path"].as_str()?)))
                .map(|(key, path)| (key.to_owned(), path.to_owned()))
                .collect(),
            None => all.keys().map(|key| (key.clone(), key.clone())).collect(),
        };
        let mode = u32::try_from(volume["defaultMode"].as_u64().context("no mode")?)?;
        for (key, path) in chosen {
            let file = folder.join(path);
            fs::write(&file, self.secret(name, &key)?)?;
            fs::set_permissions(&file, fs::Permissions::from_mode(mode))?;
            if is_root() {
                chown(&file, None, Some(GROUP))?;
            }
        }
        Ok(())
    }
}

/// The group that the chart's pods have, and a kubelet gives their volumes.
const GROUP: u32 = 65532;

/// Without root, a pod's program runs as whoever runs the test, and only its file system is as
/// it would be in a cluster.
fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn decode(text: &str) -> Result<Vec<u8>> {
    let output = Command::new("/bin/sh")
        .args(["-c", "printf %s \"$1\" | base64 -d", "decode", text])
        .output()?;
    ensure!(output.status.success(), "a Secret has no base64");
    Ok(output.stdout)
}

fn run(command: &mut Command) -> Result<()> {
    let output = command.output().with_context(|| format!("cannot start {command:?}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command:?}: {said}");
    Ok(())
}

/// A pod that runs.
pub(super) struct Running {
    name: String,
    process: Process,
    ready: Option<String>,
    grace: Duration,
}

impl Running {
    /// Waits until its readiness probe succeeds.
    pub(super) async fn ready(&mut self, limit: Duration) -> Result<()> {
        let url = self.ready.clone().context("no readiness probe")?;
        let http = reqwest::Client::builder().timeout(Duration::from_secs(5)).build()?;
        let outcome = wait::until(&format!("{} to be ready", self.name), limit, || {
            let (asked, runs) = (http.get(&url).send(), self.process.runs());
            async move {
                // One that has ended will not get ready any more.
                if !runs? {
                    return Ok(Some(false));
                }
                Ok(asked.await?.status().is_success().then_some(true))
            }
        })
        .await;
        match outcome {
            Ok(true) => Ok(()),
            Ok(false) => bail!("{} has ended: {}", self.name, self.process.printed()?),
            Err(error) => Err(error.context(self.process.printed()?)),
        }
    }

    /// Asks it to end, and waits as long as a kubelet would.
    pub(super) async fn stop(mut self) -> Result<()> {
        let status = tokio::time::timeout(self.grace, self.process.stop()).await??;
        ensure!(status.success(), "{} ended with {status}: {}", self.name, self.process.printed()?);
        Ok(())
    }
}
