//! Panics in a process's error output.

/// The different panics in a log, each with its place, message, and count if above one.
pub fn panics(log: &str) -> Vec<String> {
    let mut found: Vec<(String, u32)> = Vec::new();
    let mut lines = log.lines();
    while let Some(line) = lines.next() {
        // Without the thread, whose number varies.
        let Some(at) = line.find("panicked at") else { continue };
        let mut panic = line[at..].to_owned();
        // The message is on the next line.
        if panic.ends_with(':')
            && let Some(message) = lines.next()
        {
            panic = format!("{panic} {message}");
        }
        match found.iter_mut().find(|(earlier, _)| *earlier == panic) {
            Some((_, count)) => *count += 1,
            None => found.push((panic, 1)),
        }
    }
    let times = |(panic, count)| if count == 1 { panic } else { format!("{panic} ({count} times)") };
    found.into_iter().map(times).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_panic_is_listed_once_with_its_place_and_message() {
        let panic = |thread: &str, place: &str, message: &str| {
            format!(
                "\nthread '{thread}' panicked at {place}:\n{message}\nnote: run with `RUST_BACKTRACE=1` environment \
                 variable to display a backtrace\n"
            )
        };
        let log = [
            "2026-01-01 INFO castellan: ready\n".to_owned(),
            panic("worker 1", "server/src/a.rs:1:2", "index out of bounds"),
            panic("worker 2", "server/src/b.rs:3:4", ""),
            panic("worker 3", "server/src/a.rs:1:2", "index out of bounds"),
            "thread 'main' panicked at server/src/c.rs:5:6:".to_owned(),
        ];
        let expected = [
            "panicked at server/src/a.rs:1:2: index out of bounds (2 times)",
            "panicked at server/src/b.rs:3:4: ",
            "panicked at server/src/c.rs:5:6:",
        ];
        assert_eq!(panics(&log.concat()), expected);
        assert_eq!(panics("all is well\n"), Vec::<String>::new());
    }
}
