//! UmaDB beside Cairn, in one program:
//!
//!   peer_umadb serve [options of the umadb server]
//!   peer_umadb load URL CLIENTS EVENTS SIZE SECONDS
//!
//! `load` keeps one append outstanding on each of CLIENTS connections, through UmaDB's own client, on one
//! thread as the load generators for the other peers do. It prints one line of key=value pairs.

use std::time::{Duration, Instant};
use umadb_client::UmaDbClient;
use umadb_dcb::{DcbEvent, DcbEventStoreAsync};

type Failure = Box<dyn std::error::Error + Send + Sync>;

struct Load {
    url: String,
    clients: usize,
    events: usize,
    size: usize,
    seconds: f64,
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let result = match arguments.get(1).map(String::as_str) {
        Some("serve") => serve(&arguments[1..]),
        Some("load") if arguments.len() == 7 => load(&arguments[2..]),
        _ => Err("usage: peer_umadb serve … | load URL CLIENTS EVENTS SIZE SECONDS".into()),
    };
    if let Err(failure) = result {
        eprintln!("peer_umadb: {failure}");
        std::process::exit(1);
    }
}

fn serve(arguments: &[String]) -> Result<(), Failure> {
    let options = umadb::parse_cli_options(arguments).map_err(|e| e.to_string())?;
    umadb::start_server_with_cli_options(options).map_err(|e| e.to_string().into())
}

fn load(arguments: &[String]) -> Result<(), Failure> {
    let load = Load {
        url: arguments[0].clone(),
        clients: arguments[1].parse()?,
        events: arguments[2].parse()?,
        size: arguments[3].parse()?,
        seconds: arguments[4].parse()?,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let latencies = runtime.block_on(run(&load))?;
    report(&load, latencies)
}

/// As the other peers are fed: a JSON document of exactly `size` bytes. A tag stands for the stream.
fn events(client: usize, load: &Load) -> Vec<DcbEvent> {
    let frame = r#"{"text":""}"#.len();
    let data = format!(r#"{{"text":"{}"}}"#, "x".repeat(load.size.saturating_sub(frame)));
    (0..load.events)
        .map(|_| {
            DcbEvent::new()
                .event_type("OrderPlaced")
                .tags([format!("stream:c{client}-1")])
                .data(data.as_bytes())
        })
        .collect()
}

async fn run(load: &Load) -> Result<Vec<u64>, Failure> {
    let mut tasks = Vec::new();
    let local = tokio::task::LocalSet::new();
    let mut stores = Vec::new();
    for _ in 0..load.clients {
        stores.push(UmaDbClient::new(load.url.clone()).connect_async().await?);
    }
    let until = Instant::now() + Duration::from_secs_f64(load.seconds);
    for (client, store) in stores.into_iter().enumerate() {
        let batch = events(client, load);
        tasks.push(local.spawn_local(async move {
            let mut latencies = Vec::new();
            loop {
                let began = Instant::now();
                store.append(batch.clone(), None, None).await?;
                let now = Instant::now();
                if now > until {
                    return Ok::<_, Failure>(latencies);
                }
                latencies.push((now - began).as_nanos() as u64);
            }
        }));
    }
    local
        .run_until(async move {
            let mut all = Vec::new();
            for task in tasks {
                all.extend(task.await??);
            }
            Ok(all)
        })
        .await
}

fn report(load: &Load, mut latencies: Vec<u64>) -> Result<(), Failure> {
    if latencies.is_empty() {
        return Err("not one append was over in time".into());
    }
    latencies.sort_unstable();
    let at = |share: f64| latencies[((latencies.len() - 1) as f64 * share) as usize] as f64 / 1e3;
    println!(
        "appends={} seconds={} p50_us={:.1} p99_us={:.1}",
        latencies.len(),
        load.seconds,
        at(0.50),
        at(0.99)
    );
    Ok(())
}
