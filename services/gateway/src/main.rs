//! `rota-gateway`: the gateway in a process of its own.

use std::{process::ExitCode, sync::Arc};

use rota_gateway::{Clients, Config, Gateway, Https};
use rota_runtime::{Env, listen::Listener, run_program, settings::PeerSettings, tls::Protocols};

#[derive(clap::Args)]
struct Settings {
    #[command(flatten)]
    https: Https,
    #[command(flatten)]
    peers: PeerSettings,
    #[command(flatten)]
    own: Config,
}

fn main() -> ExitCode {
    run_program(Gateway::NAME, async |settings: Settings, env: Arc<Env>| {
        let Settings { https, peers, own } = settings;
        let clients = Clients {
            deviceauth: peers.rpc("deviceauth")?,
            inventory: peers.rpc("inventory")?,
            deployments: peers.rpc("deployments")?,
            accounts: peers.rpc("accounts")?,
        };
        let limits = own.listener_limits();
        let gateway = Gateway::new(own, clients, Arc::clone(&env.clock));
        let listener = Listener::bind(
            Gateway::NAME,
            https.https_listen,
            Some(https.tls()),
            Protocols::Http,
            limits,
        );
        let listener = listener.await?;
        env.readiness.add(gateway.checks());
        gateway.tasks(&env.tasks);
        tracing::info!(address = %listener.local_addr()?, "serving");
        listener.serve(gateway.router(), &env.tasks);
        Ok(())
    })
}
