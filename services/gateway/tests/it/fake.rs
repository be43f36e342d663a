//! A gRPC service that answers what a test tells it to, method by method, and remembers what it
//! was asked.

use std::{
    collections::HashMap,
    convert::Infallible,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, Response},
};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use prost::Message;
use rota_types::{Caller, Coded, ErrorCode};
use tonic::{Status, service::Routes};

/// What was asked, and by whom.
#[derive(Clone)]
pub(crate) struct Asked {
    pub(crate) caller: Arc<Caller>,
    messages: Vec<Bytes>,
}

impl Asked {
    /// The messages of the request.
    pub(crate) fn all<M: Message + Default>(&self) -> Vec<M> {
        self.messages.iter().map(|message| M::decode(message.clone()).unwrap()).collect()
    }

    /// The one message of a unary request.
    pub(crate) fn one<M: Message + Default>(&self) -> M {
        let mut all = self.all();
        assert_eq!(all.len(), 1);
        all.remove(0)
    }
}

type Answer = Arc<dyn Fn(&Asked) -> Result<Messages, Status> + Send + Sync>;

/// The messages of an answer, made as they are taken.
type Messages = Box<dyn Iterator<Item = Bytes> + Send>;

/// One service, or several: methods go by their full path.
#[derive(Clone, Default)]
pub(crate) struct Fake(Arc<Inner>);

#[derive(Default)]
struct Inner {
    answers: Mutex<HashMap<String, Answer>>,
    /// Methods that fail before they have read anything.
    refusals: Mutex<HashMap<String, Failing>>,
    /// What fails all calls that nothing was said about.
    otherwise: Mutex<Option<ErrorCode>>,
    asked: Mutex<Vec<(String, Asked)>>,
}

impl Fake {
    /// Answers calls of `method` (`rota.accounts.v1.ManagementService/Login`) with a message.
    pub(crate) fn answers<M: Message>(&self, method: &str, message: M) {
        self.streams(method, &[message]);
    }

    /// Answers calls of `method` with a stream of messages.
    pub(crate) fn streams<M: Message>(&self, method: &str, messages: &[M]) {
        let messages: Vec<_> = messages.iter().map(|m| Bytes::from(m.encode_to_vec())).collect();
        self.set(method, move |_| Ok(Box::new(messages.clone().into_iter())));
    }

    /// Answers calls of `method` with messages that are made as they are taken.
    pub(crate) fn makes<M: Message, I: Iterator<Item = M> + Send + 'static>(
        &self,
        method: &str,
        messages: impl Fn() -> I + Send + Sync + 'static,
    ) {
        self.set(method, move |_| {
            Ok(Box::new(messages().map(|message| Bytes::from(message.encode_to_vec()))))
        });
    }

    /// Answers calls of `method` with whatever `answer` makes of the message.
    pub(crate) fn computes<Q, A>(
        &self,
        method: &str,
        answer: impl Fn(Q) -> Result<A, Status> + Send + Sync + 'static,
    ) where
        Q: Message + Default,
        A: Message,
    {
        self.set(method, move |asked| {
            let message = Bytes::from(answer(asked.one())?.encode_to_vec());
            Ok(Box::new(std::iter::once(message)))
        });
    }

    /// Fails calls of `method`.
    pub(crate) fn fails(&self, method: &str, code: ErrorCode, words: &str) {
        self.fails_with(method, code, words, Vec::new());
    }

    /// Fails calls of `method`, and adds facts for programs.
    pub(crate) fn fails_with(
        &self,
        method: &str,
        code: ErrorCode,
        words: &str,
        metadata: Vec<(&'static str, String)>,
    ) {
        let failure = Failing { code, words: words.to_owned(), metadata };
        self.set(method, move |_| Err(rota_runtime::to_status(failure.clone())));
    }

    fn set(
        &self,
        method: &str,
        answer: impl Fn(&Asked) -> Result<Messages, Status> + Send + Sync + 'static,
    ) {
        self.0.answers.lock().unwrap().insert(format!("/{method}"), Arc::new(answer));
    }

    /// Fails calls of `method` before anything of the request was read.
    pub(crate) fn refuses(&self, method: &str, code: ErrorCode, words: &str) {
        let failure = Failing { code, words: words.to_owned(), metadata: Vec::new() };
        self.0.refusals.lock().unwrap().insert(format!("/{method}"), failure);
    }

    /// Fails every call that nothing was said about.
    pub(crate) fn fails_otherwise(&self, code: ErrorCode) {
        *self.0.otherwise.lock().unwrap() = Some(code);
    }

    /// What `method` was asked last.
    pub(crate) fn last(&self, method: &str) -> Asked {
        let path = format!("/{method}");
        let asked = self.0.asked.lock().unwrap();
        let last = asked.iter().rev().find(|(asked, _)| *asked == path);
        last.unwrap_or_else(|| panic!("{method} was not called")).1.clone()
    }

    /// How many calls there were of any method.
    pub(crate) fn calls(&self) -> usize {
        self.0.asked.lock().unwrap().len()
    }

    /// The routes that answer so.
    pub(crate) fn routes(&self) -> Routes {
        Routes::from(Router::new().fallback(serve).with_state(self.clone()))
    }
}

async fn serve(State(fake): State<Fake>, request: Request) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path().to_owned();
    let refusal = fake.0.refusals.lock().unwrap().get(&path).cloned();
    if let Some(refusal) = refusal {
        return rota_runtime::to_status(refusal).into_http();
    }
    let caller = parts.extensions.get::<Arc<Caller>>().expect("every call states a caller");
    let asked = Asked { caller: Arc::clone(caller), messages: read(body).await };
    fake.0.asked.lock().unwrap().push((path.clone(), asked.clone()));
    let answer = fake.0.answers.lock().unwrap().get(&path).cloned();
    let Some(answer) = answer else {
        if let Some(code) = *fake.0.otherwise.lock().unwrap() {
            let failure = Failing { code, words: code.to_string(), metadata: Vec::new() };
            return rota_runtime::to_status(failure).into_http();
        }
        return Status::unimplemented(format!("no test said what {path} answers")).into_http();
    };
    match answer(&asked) {
        Ok(messages) => write(messages),
        Err(status) => status.into_http(),
    }
}

/// The messages of a request, up to where it was cut.
async fn read(body: Body) -> Vec<Bytes> {
    let mut rest = BytesMut::new();
    let mut body = body;
    while let Some(Ok(frame)) = body.frame().await {
        if let Ok(data) = frame.into_data() {
            rest.extend_from_slice(&data);
        }
    }
    let mut rest = rest.freeze();
    let mut messages = Vec::new();
    while rest.len() >= 5 {
        assert_eq!(rest.get_u8(), 0, "not compressed");
        let length = rest.get_u32() as usize;
        messages.push(rest.split_to(length));
    }
    messages
}

fn write(messages: Messages) -> Response<Body> {
    let frames = messages.map(|message| {
        let mut frame = BytesMut::with_capacity(5 + message.len());
        frame.put_u8(0);
        frame.put_u32(u32::try_from(message.len()).unwrap());
        frame.put(message);
        Frame::data(frame.freeze())
    });
    let trailers = HeaderMap::from_iter([(
        axum::http::HeaderName::from_static("grpc-status"),
        HeaderValue::from_static("0"),
    )]);
    let frames = frames.chain([Frame::trailers(trailers)]).map(Ok::<_, Infallible>);
    let body = StreamBody::new(futures::stream::iter(frames));
    let mut response = Response::new(Body::new(body));
    response.headers_mut().insert("content-type", HeaderValue::from_static("application/grpc"));
    response
}

#[derive(Debug, Clone, thiserror::Error)]
#[error("{words}")]
struct Failing {
    code: ErrorCode,
    words: String,
    metadata: Vec<(&'static str, String)>,
}

impl Coded for Failing {
    fn code(&self) -> ErrorCode {
        self.code
    }

    fn metadata(&self) -> Vec<(&'static str, String)> {
        self.metadata.clone()
    }
}
