//! `sockeye services`: the services registry, both ways.

use crate::args::ServicesArgs;
use crate::failure::Failure;
use serde_json::{Value, json};
use sockeye::services_registry::{self as registry, PortClass, Service};
use std::io::{self, Write};

/// Prints what is known of a name or a port. Returns the exit status: 1 when a name is unknown.
pub(crate) fn services(args: &ServicesArgs) -> Result<u8, Failure> {
    let (what, protocol) = match args.what.rsplit_once('/') {
        Some((what, protocol @ ("tcp" | "udp" | "sctp" | "dccp"))) => (what, Some(protocol)),
        Some((what, other)) if is_number(what) => {
            let text = format!("`{other}` is no protocol of ports: tcp, udp, sctp and dccp are accepted");
            return Err(Failure::ours(text));
        }
        _ => (args.what.as_str(), None),
    };
    if what.is_empty() {
        return Err(Failure::ours(
            "services: say a name or a port: sockeye services http, sockeye services 443",
        ));
    }
    let fits = |service: &Service| protocol.is_none_or(|wanted| service.protocol == wanted);
    if is_number(what) {
        let wrong = |_| Failure::ours(format!("`{what}` is no port: 0 to 65535 is accepted"));
        let port: u16 = what.parse().map_err(wrong)?;
        let found: Vec<Service> = registry::by_port(port).filter(fits).collect();
        return print(args, &found, Some(port)).map(|()| 0);
    }
    let found: Vec<Service> = registry::by_name(what).filter(fits).collect();
    if found.is_empty() {
        return unknown(args, what, protocol);
    }
    print(args, &found, None).map(|()| 0)
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

fn unknown(args: &ServicesArgs, what: &str, protocol: Option<&str>) -> Result<u8, Failure> {
    let near = registry::suggestions(what);
    if args.json {
        let object = json!({ "query": args.what, "services": [], "suggestions": near });
        out(&format!("{object}\n"))?;
    }
    let over = protocol.map_or(String::new(), |protocol| format!(" over {protocol}"));
    let mut text = format!("no service `{what}`{over}");
    let known = registry::by_name(what).next();
    if let Some(known) = known {
        text.push_str(&format!("; it is known over {}", known.protocol));
    } else if !near.is_empty() {
        text.push_str(&format!("; did you mean {}?", near.join(", ")));
    }
    Err(Failure { status: 1, text })
}

fn print(args: &ServicesArgs, found: &[Service], port: Option<u16>) -> Result<(), Failure> {
    if args.json {
        let mut object = json!({ "query": args.what, "services": found.iter().map(object).collect::<Vec<_>>() });
        if let Some(port) = port {
            object["port"] = json!(port);
            object["class"] = json!(PortClass::of(port).to_string());
        }
        return out(&format!("{object}\n"));
    }
    let mut text = String::new();
    let mut index = 0;
    while index < found.len() {
        let first = found[index];
        let same = |service: &&Service| service.name == first.name && service.port == first.port;
        let group: Vec<&Service> = found[index..].iter().take_while(same).collect();
        let protocols: Vec<String> = group.iter().map(|s| format!("{}/{}", s.port, s.protocol)).collect();
        let class = PortClass::of(first.port);
        text.push_str(&format!("{:<15} {:<22} {class}", first.name, protocols.join(" ")));
        let aliases: Vec<&str> = first.aliases().collect();
        if !aliases.is_empty() {
            text.push_str(&format!(", also called {}", aliases.join(", ")));
        }
        if !first.description.is_empty() {
            text.push_str(&format!(": {}", first.description));
        }
        text.push('\n');
        index += group.len();
    }
    if let (true, Some(port)) = (found.is_empty(), port) {
        let class = PortClass::of(port);
        let (first, last) = class.range();
        let why = match class {
            PortClass::Dynamic => "never assigned to a service",
            PortClass::WellKnown | PortClass::Registered => "not assigned to a service",
        };
        text = format!("{:<15} {port:<22} {class} ({first}-{last}): {why}\n", "-");
    }
    out(&text)
}

fn object(service: &Service) -> Value {
    json!({
        "name": service.name,
        "port": service.port,
        "protocol": service.protocol,
        "class": PortClass::of(service.port).to_string(),
        "aliases": service.aliases().collect::<Vec<_>>(),
        "description": service.description,
    })
}

/// Writes to standard output. A reader that went away early is no failure.
fn out(text: &str) -> Result<(), Failure> {
    match io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::ours(format!("cannot write to standard output: {error}")))
        }
        _ => Ok(()),
    }
}
