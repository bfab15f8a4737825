//! A gRPC call: a message of HTTP/2 with a status at its end. `h2` does HTTP/2; a complete client (tonic) would
//! double what this program is built from.

use anyhow::{Context, bail};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use h2::client::{SendRequest, handshake};
use http::{HeaderMap, Request};
use prost::Message;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;

use crate::server::Access;

/// A larger answer is refused.
const LONGEST_ANSWER: usize = 4 * 1024 * 1024;
/// What stands before a message: whether it is compressed, and its length.
const HEAD: usize = 5;

/// A connection to a server.
#[derive(Debug)]
pub struct Channel {
    requests: SendRequest<Bytes>,
    origin: String,
    api_key: Option<String>,
    namespace: String,
}

impl Channel {
    /// Connects, with TLS if `access` says so.
    ///
    /// # Errors
    /// When the server cannot be reached, is not the one that its name says, or speaks no HTTP/2.
    pub async fn open(access: &Access) -> anyhow::Result<Self> {
        let stream = TcpStream::connect((access.host.as_str(), access.port)).await?;
        stream.set_nodelay(true)?;
        let (scheme, requests) = match &access.tls {
            None => ("http", speak(stream).await?),
            Some((config, name)) => {
                let connector = TlsConnector::from(config.clone());
                let stream = connector.connect(name.clone(), stream).await.context("TLS failed")?;
                ("https", speak(stream).await?)
            }
        };
        Ok(Self {
            requests,
            origin: format!("{scheme}://{}", access.address()),
            api_key: access.api_key.clone(),
            namespace: access.namespace.clone(),
        })
    }

    /// Calls a method of Temporal's WorkflowService.
    ///
    /// # Errors
    /// When the server refuses the call, or answers something else.
    pub async fn call<Q: Message, A: Message + Default>(
        &mut self,
        method: &str,
        message: &Q,
    ) -> anyhow::Result<A> {
        let path = format!("/temporal.api.workflowservice.v1.WorkflowService/{method}");
        let mut request = Request::post(format!("{}{path}", self.origin))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .header("temporal-namespace", &self.namespace);
        if let Some(key) = &self.api_key {
            request = request.header("authorization", format!("Bearer {key}"));
        }
        let request = request.body(()).context("the API key or the namespace is no header")?;
        let mut requests = self.requests.clone().ready().await?;
        let (answer, mut body) = requests.send_request(request, false)?;
        body.send_data(framed(message)?, true)?;
        let answer = answer.await?;
        if answer.status() != 200 {
            bail!("HTTP status {}", answer.status());
        }
        // A call that is refused has its status among the headers.
        check(answer.headers())?;
        let mut body = answer.into_body();
        let mut bytes = BytesMut::new();
        while let Some(part) = body.data().await {
            let part = part?;
            body.flow_control().release_capacity(part.len())?;
            bytes.put(part);
            if bytes.len() > LONGEST_ANSWER {
                bail!("the answer is larger than {} MiB", LONGEST_ANSWER >> 20);
            }
        }
        if let Some(trailers) = body.trailers().await? {
            check(&trailers)?;
        }
        unframed(bytes.freeze())
    }
}

async fn speak<T>(stream: T) -> anyhow::Result<SendRequest<Bytes>>
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (requests, connection) = handshake(stream).await?;
    tokio::spawn(async move {
        // What ends the connection also ends the call that waits for an answer.
        connection.await.ok();
    });
    Ok(requests)
}

fn framed(message: &impl Message) -> anyhow::Result<Bytes> {
    let mut bytes = BytesMut::with_capacity(HEAD + message.encoded_len());
    bytes.put_u8(0);
    bytes.put_u32(u32::try_from(message.encoded_len())?);
    message.encode(&mut bytes)?;
    Ok(bytes.freeze())
}

fn unframed<A: Message + Default>(mut bytes: Bytes) -> anyhow::Result<A> {
    if bytes.len() < HEAD {
        bail!("the answer has no message");
    }
    let compressed = bytes.get_u8() != 0;
    let length = bytes.get_u32() as usize;
    if compressed || length > bytes.len() {
        bail!("the answer's message cannot be read");
    }
    Ok(A::decode(bytes.split_to(length))?)
}

/// Fails with the status that a call ended with, unless it is 0.
fn check(headers: &HeaderMap) -> anyhow::Result<()> {
    let text =
        |name: &str| headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()));
    match text("grpc-status") {
        Some(status) if status != "0" => {
            let why = text("grpc-message").unwrap_or_default().replace("%20", " ");
            bail!("the server refused the call with gRPC status {status}: {why}")
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::api::TaskQueue;

    #[test]
    fn a_message_comes_back_from_its_frame() {
        let queue = TaskQueue { name: "greetings".into() };
        let bytes = framed(&queue).unwrap();
        assert_eq!(unframed::<TaskQueue>(bytes.clone()).unwrap(), queue);
        for cut in [0, 4, 7] {
            assert!(unframed::<TaskQueue>(bytes.slice(..cut)).is_err(), "{cut}");
        }
    }

    #[test]
    fn a_status_is_an_error_unless_it_is_0() {
        let mut headers = HeaderMap::new();
        assert!(check(&headers).is_ok());
        headers.insert("grpc-status", "0".parse().unwrap());
        assert!(check(&headers).is_ok());
        headers.insert("grpc-status", "7".parse().unwrap());
        headers.insert("grpc-message", "no%20access".parse().unwrap());
        assert!(check(&headers).unwrap_err().to_string().contains("7: no access"));
    }
}
