//! The W3C trace context (`traceparent`), carried over gRPC, HTTP and events.
//!
//! With an OTLP endpoint the context is that of the current span. Without one there are no
//! spans to export, and the `traceparent` a request came with is handed on as it is, so that a
//! process in the middle never cuts a trace.

use http::{HeaderMap, HeaderValue};
use opentelemetry::{propagation::TextMapPropagator, trace::TraceContextExt};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

const TRACEPARENT: &str = "traceparent";

tokio::task_local! {
    static INCOMING: Option<String>;
}

/// The `traceparent` to hand on from here: to an event, a webhook, another process.
pub fn traceparent() -> Option<String> {
    let context = Span::current().context();
    if context.span().span_context().is_valid() {
        let mut carrier = std::collections::HashMap::new();
        TraceContextPropagator::new().inject_context(&context, &mut carrier);
        return carrier.remove(TRACEPARENT);
    }
    INCOMING.try_with(Clone::clone).ok().flatten()
}

/// Runs `future` as the continuation of the trace that `traceparent` names, in `span`.
pub async fn continue_trace<F: Future>(
    traceparent: Option<String>,
    span: Span,
    future: F,
) -> F::Output {
    if let Some(parent) = &traceparent {
        let carrier = std::collections::HashMap::from([(TRACEPARENT.to_owned(), parent.clone())]);
        let context = TraceContextPropagator::new().extract(&carrier);
        if context.span().span_context().is_valid() {
            // Fails only where no exporter is installed, and then there is nothing to link.
            let _ = span.set_parent(context);
        }
    }
    INCOMING.scope(traceparent, tracing::Instrument::instrument(future, span)).await
}

/// The header's value, if it is one that could be handed on.
pub(crate) fn incoming(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(TRACEPARENT)?.to_str().ok()?;
    // version "-" trace id "-" parent id "-" flags: 55 characters in version 00 (W3C Trace
    // Context, section 3.2).
    (value.len() == 55).then(|| value.to_owned())
}

/// Writes the current context into outgoing headers.
pub(crate) fn outgoing(headers: &mut HeaderMap) {
    if let Some(value) = traceparent().and_then(|text| HeaderValue::try_from(text).ok()) {
        headers.insert(TRACEPARENT, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[tokio::test]
    async fn what_came_in_goes_out_again() {
        let mut came = HeaderMap::new();
        came.insert(TRACEPARENT, HeaderValue::from_static(PARENT));
        let sent = continue_trace(incoming(&came), Span::none(), async {
            let mut headers = HeaderMap::new();
            outgoing(&mut headers);
            headers
        })
        .await;
        assert_eq!(sent.get(TRACEPARENT).unwrap(), PARENT);
    }

    #[tokio::test]
    async fn nonsense_and_nothing_are_not_handed_on() {
        let mut came = HeaderMap::new();
        assert_eq!(incoming(&came), None);
        came.insert(TRACEPARENT, HeaderValue::from_static("short"));
        assert_eq!(incoming(&came), None);
        assert_eq!(traceparent(), None);
    }

    #[tokio::test]
    async fn with_an_exporter_the_current_span_is_the_parent_of_what_follows() {
        use opentelemetry::trace::TracerProvider;
        use tracing_subscriber::layer::SubscriberExt;

        let provider = opentelemetry_sdk::trace::SdkTracerProvider::builder().build();
        let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("test"));
        let _subscriber =
            tracing::subscriber::set_default(tracing_subscriber::registry().with(layer));
        let span = tracing::info_span!("here");
        let next = continue_trace(Some(PARENT.to_owned()), span, async { traceparent() }).await;
        let next = next.unwrap();
        assert_eq!(next[..35], PARENT[..35], "the same trace");
        assert_ne!(next, PARENT, "another span");
    }
}
