//! Programs written to files as they go through a pipeline.

use crate::context::Event;
use gradloom_ir::{Error, Result};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Numbers the programs of this process.
static PROGRAMS: AtomicUsize = AtomicUsize::new(0);

/// The files of one program: `PROCESS-PROGRAM-STEP-NAME.txt`, so that they list in order.
#[derive(Debug)]
pub(crate) struct Dump {
    dir: PathBuf,
    program: usize,
    step: usize,
}

impl Dump {
    pub(crate) fn new(dir: &Path) -> Dump {
        Dump { dir: dir.to_path_buf(), program: PROGRAMS.fetch_add(1, Ordering::Relaxed), step: 0 }
    }

    pub(crate) fn from_env() -> Option<Dump> {
        std::env::var_os("GRADLOOM_DUMP").filter(|d| !d.is_empty()).map(|d| Dump::new(Path::new(&d)))
    }

    /// Writes the program before and after each pass, and what passes show.
    pub(crate) fn observer(mut self) -> impl FnMut(Event<'_>) -> Result<()> + Send + 'static {
        move |event| match event {
            Event::Before { pass, graph } => self.write(&format!("{pass}-before"), graph),
            Event::After { record, graph } => self.write(&format!("{}-after", record.pass), graph),
            Event::Note { name, content } => self.write(name, content),
        }
    }

    /// Writes one file, under a temporary name first so that a reader never meets half of it.
    fn write(&mut self, name: &str, content: &dyn fmt::Display) -> Result<()> {
        let name: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
        let stem = format!("{}-{:04}-{:03}-{name:.80}", std::process::id(), self.program, self.step);
        self.step += 1;
        let (temporary, path) = (self.dir.join(format!(".{stem}.part")), self.dir.join(format!("{stem}.txt")));
        std::fs::create_dir_all(&self.dir)
            .and_then(|()| std::fs::write(&temporary, format!("{content}\n")))
            .and_then(|()| std::fs::rename(&temporary, &path))
            .map_err(|e| Error::io(format!("dump {}", path.display()), &e))
    }
}
