//! Logs for people and machines, and traces for a collector.

use std::io::IsTerminal;

use opentelemetry::trace::TracerProvider;
use opentelemetry_otlp::WithExportConfig;
use opentelemetry_sdk::{Resource, trace::SdkTracerProvider};
use tracing_subscriber::{EnvFilter, Layer, layer::SubscriberExt, util::SubscriberInitExt};

use crate::{
    run::ConfigError,
    settings::{LogFormat, ProcessSettings},
};

/// Keeps the exporter; what is still in its queue is sent by [`Telemetry::finish`].
pub(crate) struct Telemetry(Option<SdkTracerProvider>);

impl Telemetry {
    /// Starts to log, and to trace where a collector is given.
    pub(crate) fn start(
        service: &'static str,
        settings: &ProcessSettings,
    ) -> Result<Self, ConfigError> {
        let filter = EnvFilter::try_new(&settings.log)
            .map_err(|error| ConfigError::new(format!("--log (ROTA_LOG): {error}")))?;
        let provider = match &settings.otlp_endpoint {
            Some(endpoint) => Some(provider(service, endpoint)?),
            None => None,
        };
        let traces = provider
            .as_ref()
            .map(|provider| tracing_opentelemetry::layer().with_tracer(provider.tracer("rota")));
        // Standard error: standard output belongs to what a program prints as its result.
        let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
        let lines = if is_json(settings.log_format) {
            lines.json().flatten_event(true).with_span_list(false).boxed()
        } else {
            lines.with_ansi(std::io::stderr().is_terminal()).boxed()
        };
        // Fails where a test has set up its own subscriber before, which then stays.
        let _ = tracing_subscriber::registry().with(filter).with(lines).with(traces).try_init();
        Ok(Self(provider))
    }

    /// Sends what is still queued. Blocks for as long as the exporter does.
    pub(crate) fn finish(self) {
        if let Some(provider) = self.0
            && let Err(error) = provider.shutdown()
        {
            tracing::warn!(%error, "some traces were not sent");
        }
    }
}

fn is_json(format: LogFormat) -> bool {
    match format {
        LogFormat::Json => true,
        LogFormat::Text => false,
        LogFormat::Auto => !std::io::stderr().is_terminal(),
    }
}

fn provider(service: &'static str, endpoint: &str) -> Result<SdkTracerProvider, ConfigError> {
    let exporter = opentelemetry_otlp::SpanExporter::builder()
        .with_tonic()
        .with_endpoint(endpoint)
        .build()
        .map_err(|error| {
            ConfigError::new(format!("--otlp-endpoint (ROTA_OTLP_ENDPOINT): {error}"))
        })?;
    let resource = Resource::builder().with_service_name(format!("rota-{service}")).build();
    Ok(SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource).build())
}
