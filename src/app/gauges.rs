//! What is told of the process itself and of what it may take up.

use std::fs;

use opentelemetry::{KeyValue, metrics::Meter};

use crate::{clock::Clock, store::Store};

/// Parts of a second that the kernel tells CPU time in, on every kind of machine we run on.
const TICKS: f64 = 100.0;

/// Tells it as long as the collection lasts. `keeps`: how many bytes of events are kept at most.
pub(super) fn tell(meter: &Meter, store: &Store, clock: Clock, keeps: u64) {
    meter
        .u64_observable_gauge("bitrix24.gateway.build.info")
        .with_description("1, with the version of the gateway and what was built into it.")
        .with_callback(|told| {
            let labels = [
                KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
                KeyValue::new("bitrix24.build.sim", cfg!(feature = "sim")),
            ];
            told.observe(1, &labels);
        })
        .build();
    meter
        .u64_observable_gauge("bitrix24.gateway.log.limit")
        .with_description("What events may weigh before the heaviest bots lose their oldest.")
        .with_unit("By")
        .with_callback(move |told| told.observe(keeps, &[]))
        .build();
    let writable = store.writable();
    meter
        .u64_observable_gauge("bitrix24.gateway.store.writable")
        .with_description("1 while the store can be written, else 0.")
        .with_callback(move |told| told.observe(u64::from(*writable.borrow()), &[]))
        .build();
    process(meter, clock);
}

/// Under the names that Prometheus has for them.
fn process(meter: &Meter, clock: Clock) {
    let started = clock.now().as_duration().as_secs_f64();
    meter
        .f64_observable_gauge("process.start_time")
        .with_description("When the gateway began, by Unix time.")
        .with_unit("s")
        .with_callback(move |told| told.observe(started, &[]))
        .build();
    meter
        .f64_observable_counter("process.cpu")
        .with_description("CPU time that the process has taken.")
        .with_unit("s")
        .with_callback(|told| {
            if let Some(ticks) = read("/proc/self/stat").as_deref().and_then(cpu_ticks) {
                told.observe(ticks / TICKS, &[]);
            }
        })
        .build();
    meter
        .u64_observable_gauge("process.resident_memory")
        .with_description("Memory that the process has in use.")
        .with_unit("By")
        .with_callback(|told| {
            if let Some(bytes) = read("/proc/self/status").as_deref().and_then(resident) {
                told.observe(bytes, &[]);
            }
        })
        .build();
    meter
        .u64_observable_gauge("process.open_fds")
        .with_description("File descriptors that are open.")
        .with_callback(|told| {
            if let Ok(open) = fs::read_dir("/proc/self/fd") {
                told.observe(open.count() as u64, &[]);
            }
        })
        .build();
    meter
        .u64_observable_gauge("process.max_fds")
        .with_description("File descriptors that may be open.")
        .with_callback(|told| {
            if let Some(most) = read("/proc/self/limits").as_deref().and_then(most_files) {
                told.observe(most, &[]);
            }
        })
        .build();
}

/// Not told where there is no such file.
fn read(path: &str) -> Option<String> {
    fs::read_to_string(path).ok()
}

/// Time in user mode and in the kernel. The name of the process stands in brackets and may be anything.
fn cpu_ticks(stat: &str) -> Option<f64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    let mut next = || fields.next()?.parse::<f64>().ok();
    Some(next()? + next()?)
}

fn resident(status: &str) -> Option<u64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes << 10)
}

fn most_files(limits: &str) -> Option<u64> {
    let most = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))?;
    most.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn process_is_read_from_what_the_kernel_tells() {
        let stat = "7 (a) b) (c) S 1 7 7 0 -1 4194304 100 0 0 0 250 50 0 0 20 0 4 0 100 1000 200";
        assert_eq!(cpu_ticks(stat), Some(300.0));
        assert_eq!(resident("Name:\tx\nVmRSS:\t   2048 kB\n"), Some(2 << 20));
        let limits = "Limit  Soft Limit  Hard Limit  Units\nMax open files   1024   4096   files\n";
        assert_eq!(most_files(limits), Some(1024));
        assert!(["", "7 (x)", "VmRSS: many"].iter().all(|text| {
            cpu_ticks(text).is_none() && resident(text).is_none() && most_files(text).is_none()
        }));
    }
}
