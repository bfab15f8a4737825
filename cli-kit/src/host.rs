//! Addresses to listen on, and whether a request asks for this machine by name.

use std::net::{IpAddr, SocketAddr};

/// The address to listen on that a flag has, for clap.
///
/// # Errors
/// When it is not an IP address and a port.
pub fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| {
        "write an IP address and a port, such as 127.0.0.1:8081; port 0 is any free port".to_owned()
    })
}

/// Whether exactly one `Host` header was sent, and it is `localhost` or a loopback address, with any port. A web site
/// can have its own name resolve to 127.0.0.1; its requests then name the site.
pub fn is_this_machine<'a>(hosts: impl IntoIterator<Item = &'a [u8]>) -> bool {
    let mut hosts = hosts.into_iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else { return false };
    let Ok(host) = str::from_utf8(host) else { return false };
    let (name, port) = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((name, port)) => (name, port.strip_prefix(':').unwrap_or(port)),
        None => host.split_once(':').unwrap_or((host, "")),
    };
    let is_port = port.chars().all(|digit| digit.is_ascii_digit());
    let is_loopback = name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    is_port && (is_loopback || name.eq_ignore_ascii_case("localhost"))
}
