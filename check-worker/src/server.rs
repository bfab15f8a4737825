//! The round trip to a Temporal server: one gRPC call of `GetSystemInfo`, written by hand.
//!
//! A complete gRPC client would be larger than the rest of this program. The call has no arguments, and only
//! the time until its stream ends matters, not the answer. It uses plaintext HTTP/2; TLS is not supported.

use std::{
    io::{Read, Write},
    net::{TcpStream, ToSocketAddrs},
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use cli_kit::exit::Failure;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GO_AWAY: u8 = 7;
const RST_STREAM: u8 = 3;
const ACK: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const TIMEOUT: Duration = Duration::from_secs(5);
/// Frames that a server may send before it has to ask.
const LARGEST_FRAME: usize = 16 * 1024;
/// The number of calls; their median is the result.
const CALLS: u32 = 5;

/// The median round trip of a few calls, in seconds.
///
/// # Errors
/// When the server does not answer, or is no gRPC server.
pub fn round_trip(address: &str) -> anyhow::Result<f64> {
    let address = address.trim_start_matches("http://");
    if address.starts_with("https://") {
        return Err(Failure::usage("--server measures without TLS only; leave it out").into());
    }
    let failed =
        || format!("no answer from the Temporal server at {address}; check --server HOST:PORT");
    let mut connection = Connection::open(address).with_context(failed)?;
    let mut times = Vec::new();
    for call in 0..CALLS {
        times.push(connection.call(address, 2 * call + 1).with_context(failed)?);
    }
    times.sort_by(f64::total_cmp);
    Ok(times[times.len() / 2])
}

struct Connection(TcpStream);

impl Connection {
    fn open(address: &str) -> anyhow::Result<Self> {
        let socket = address.to_socket_addrs()?.next().context("the name has no address")?;
        let stream = TcpStream::connect_timeout(&socket, TIMEOUT)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.set_nodelay(true)?;
        let mut connection = Self(stream);
        connection.0.write_all(PREFACE)?;
        connection.send(SETTINGS, 0, 0, &[])?;
        Ok(connection)
    }

    /// One call; the time until its stream ends.
    fn call(&mut self, authority: &str, stream: u32) -> anyhow::Result<f64> {
        let mut block = Vec::new();
        for (name, value) in [
            (":method", "POST"),
            (":scheme", "http"),
            (":path", "/temporal.api.workflowservice.v1.WorkflowService/GetSystemInfo"),
            (":authority", authority),
            ("content-type", "application/grpc"),
            ("te", "trailers"),
        ] {
            header(&mut block, name, value);
        }
        let since = Instant::now();
        self.send(HEADERS, END_HEADERS, stream, &block)?;
        // A message of no bytes: not compressed, length 0.
        self.send(DATA, END_STREAM, stream, &[0; 5])?;
        loop {
            if since.elapsed() > TIMEOUT {
                bail!("no answer within {} s", TIMEOUT.as_secs());
            }
            let (kind, flags, of, payload) = self.receive()?;
            match kind {
                SETTINGS if flags & ACK == 0 => self.send(SETTINGS, ACK, 0, &[])?,
                PING if flags & ACK == 0 => self.send(PING, ACK, 0, &payload)?,
                GO_AWAY => bail!("the server closed the connection"),
                RST_STREAM if of == stream => bail!("the server refused the call"),
                DATA | HEADERS if of == stream && flags & END_STREAM != 0 => {
                    return Ok(since.elapsed().as_secs_f64());
                }
                _ => {}
            }
        }
    }

    fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> anyhow::Result<()> {
        let length = u32::try_from(payload.len())?.to_be_bytes();
        let mut frame = vec![length[1], length[2], length[3], kind, flags];
        frame.extend(stream.to_be_bytes());
        frame.extend(payload);
        Ok(self.0.write_all(&frame)?)
    }

    fn receive(&mut self) -> anyhow::Result<(u8, u8, u32, Vec<u8>)> {
        let mut head = [0; 9];
        self.0.read_exact(&mut head)?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        if length > LARGEST_FRAME {
            bail!("what answers there does not speak gRPC");
        }
        let mut payload = vec![0; length];
        self.0.read_exact(&mut payload)?;
        let stream = u32::from_be_bytes([head[5] & 0x7f, head[6], head[7], head[8]]);
        Ok((head[3], head[4], stream, payload))
    }
}

/// A header in HPACK, as a literal that is not indexed.
fn header(block: &mut Vec<u8>, name: &str, value: &str) {
    block.push(0);
    for text in [name, value] {
        length(block, text.len());
        block.extend(text.as_bytes());
    }
}

/// A length in HPACK: seven bits, and more bytes if it has more.
fn length(block: &mut Vec<u8>, length: usize) {
    if length < 127 {
        block.push(length as u8);
        return;
    }
    block.push(127);
    let mut rest = length - 127;
    while rest >= 128 {
        block.push((rest % 128) as u8 | 128);
        rest /= 128;
    }
    block.push(rest as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_written_as_hpack_has_them() {
        let bytes = |number| {
            let mut block = Vec::new();
            length(&mut block, number);
            block
        };
        assert_eq!(bytes(10), [10]);
        assert_eq!(bytes(127), [127, 0]);
        assert_eq!(bytes(1337), [127, 0xba, 0x09]);
    }

    #[test]
    fn what_is_no_server_is_a_clear_error() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let serve = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
        });
        let error = format!("{:#}", round_trip(&address).unwrap_err());
        serve.join().unwrap();
        assert!(error.contains("--server HOST:PORT"), "{error}");
    }
}
