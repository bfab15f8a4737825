//! The program `check-worker`.

fn main() {
    for folder in std::env::args().skip(1) {
        let folder = std::path::Path::new(&folder);
        let mut tracker = check_worker::tracker::Tracker::default();
        for (line, page) in check_worker::recording::moments(folder).unwrap_or_default() {
            tracker.push(&check_worker::recording::read(line, page.as_deref()));
        }
        let model = tracker.model();
        let found = check_worker::findings::decide(&model);
        let c = model.close_up();
        cli_kit::outln!(
            "{:36} {:28?} {} paused {:?} over {:?} {:?}",
            folder.file_name().unwrap_or_default().display(),
            found[0].verdict,
            found[0].sureness.name(),
            c.as_ref().map(|c| ((c.paused * 100.0) as i64, c.pattern())),
            c.as_ref().map(|c| (c.overtakers, c.late_comers)),
            found[1..].iter().map(|f| f.verdict.name()).collect::<Vec<_>>(),
        );
    }
}
