//! Writes all mutants as modules of one generated package, finds those that compile, and builds it.

use std::{
    collections::{BTreeMap, BTreeSet},
    env,
    fs::{self, File},
    io::BufReader,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, anyhow, bail};
use cargo_metadata::{
    Message,
    diagnostic::{Diagnostic, DiagnosticLevel, DiagnosticSpan},
};
use cli_kit::{cargo, errln};
use serde::{Deserialize, Serialize};

use crate::mutant::{Mutant, digest};

/// The generated package.
pub struct Package {
    root: PathBuf,
    folder: PathBuf,
    /// What it is built into: the folder that this program itself was built into.
    target: PathBuf,
    known: Known,
}

/// Which mutants compile, by the digest of their source: asked once, and kept.
#[derive(Default, Serialize, Deserialize)]
struct Known {
    /// Of everything else that decides it.
    judge: String,
    compiles: BTreeMap<String, bool>,
}

impl Package {
    /// The one in that folder. `judge` is the digest of what mutants are built and judged with.
    pub fn new(root: &Path, folder: &Path, judge: &str) -> anyhow::Result<Self> {
        let program = env::current_exe()?;
        let target = program.ancestors().nth(3).context("cargo runs this program as an example")?;
        let kept = fs::read(folder.join(KNOWN)).unwrap_or_default();
        let mut known: Known = serde_json::from_slice(&kept).unwrap_or_default();
        if known.judge != judge {
            known = Known { judge: judge.to_owned(), ..Known::default() };
        }
        fs::create_dir_all(folder.join("src/bin"))?;
        let manifest = include_str!("package.toml").replace("ROOT", &root.display().to_string());
        write(&folder.join("Cargo.toml"), &manifest)?;
        // The same versions as in the workspace. Cargo adds this package, and takes out what it lacks.
        if !folder.join("Cargo.lock").exists() {
            fs::copy(root.join("Cargo.lock"), folder.join("Cargo.lock"))?;
        }
        Ok(Self {
            root: root.to_owned(),
            folder: folder.to_owned(),
            target: target.to_owned(),
            known,
        })
    }

    /// Those of these mutants of one step that compile.
    pub fn that_compile(&mut self, step: u8, mutants: Vec<Mutant>) -> anyhow::Result<Vec<Mutant>> {
        let mut rest = mutants;
        rest.retain(|mutant| self.known.compiles.get(&mutant.digest) != Some(&false));
        while !rest.iter().all(|mutant| self.known.compiles.contains_key(&mutant.digest)) {
            self.write(step, &rest)?;
            errln!("step {step}: checks whether {} mutants compile ...", rest.len());
            let (_, broken) = self.cargo("check", step)?;
            for mutant in rest.extract_if(.., |mutant| broken.contains(&mutant.module())) {
                self.known.compiles.insert(mutant.digest, false);
            }
            if broken.is_empty() {
                let compile = rest.iter().map(|mutant| (mutant.digest.clone(), true));
                self.known.compiles.extend(compile);
            }
            write(&self.folder.join(KNOWN), &serde_json::to_string(&self.known)?)?;
        }
        Ok(rest)
    }

    /// Builds the program that judges these mutants of one step.
    pub fn build(&self, step: u8, mutants: &[Mutant]) -> anyhow::Result<PathBuf> {
        self.write(step, mutants)?;
        errln!("step {step}: builds {} mutants ...", mutants.len());
        match self.cargo("build", step)? {
            (Some(program), broken) if broken.is_empty() => Ok(program),
            (_, broken) => bail!("these mutants pass `cargo check` and do not build: {broken:?}"),
        }
    }

    fn write(&self, step: u8, mutants: &[Mutant]) -> anyhow::Result<()> {
        let folder = self.folder.join("src").join(format!("step_{step}"));
        fs::create_dir_all(&folder)?;
        let judging = self.root.join("judge/examples/mutants/judging.rs");
        let mut modules = String::new();
        let mut table = String::new();
        for mutant in mutants {
            let module = mutant.module();
            write(&folder.join(format!("{module}.rs")), &mutant.source)?;
            modules += &format!("#[path = \"../step_{step}/{module}.rs\"]\nmod {module};\n");
            table +=
                &format!("    ({:?}, |keys| AnyCodec::new({module}::codec(keys))),\n", mutant.id);
        }
        let main = include_str!("program.rs.txt")
            .replace("JUDGING", &judging.display().to_string())
            .replace("STEP", &step.to_string())
            .replace("MODULES", &modules)
            .replace("TABLE", &table);
        write(&self.folder.join("src/bin").join(format!("step_{step}.rs")), &main)
    }

    /// Has cargo check or build the program of that step: the program, and the modules with errors.
    fn cargo(&self, what: &str, step: u8) -> anyhow::Result<(Option<PathBuf>, BTreeSet<String>)> {
        let name = format!("step_{step}");
        let log = self.folder.join("cargo.log");
        let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo::without_cargos_variables(&mut command);
        command
            .args([what, "--quiet", "--message-format=json", "--bin", &name, "--target-dir"])
            .arg(&self.target)
            .current_dir(&self.folder)
            .stdout(Stdio::piped())
            // Mutants that don't compile are no news.
            .stderr(File::create(&log)?);
        let mut process = command.spawn().context("cargo can't be started")?;
        let output = process.stdout.take().context("cargo's output is read")?;
        let (mut program, mut broken, mut elsewhere) = (None, BTreeSet::new(), String::new());
        for message in Message::parse_stream(BufReader::new(output)) {
            match message? {
                Message::CompilerMessage(message) => {
                    let Diagnostic { level, spans, rendered, .. } = message.message;
                    if level != DiagnosticLevel::Error || spans.is_empty() {
                        continue;
                    }
                    let modules: Vec<_> = spans.iter().flat_map(modules).collect();
                    if modules.is_empty() {
                        elsewhere += rendered.as_deref().unwrap_or_default();
                    }
                    broken.extend(modules);
                }
                Message::CompilerArtifact(artifact) if artifact.target.name == name => {
                    program = artifact.executable.map(PathBuf::from).or(program);
                }
                _ => {}
            }
        }
        let succeeded = process.wait()?.success();
        if succeeded || !broken.is_empty() {
            return Ok((program, broken));
        }
        let log = fs::read_to_string(&log)?;
        Err(anyhow!("cargo {what} fails for another reason than a mutant: {elsewhere}{log}"))
    }
}

/// What is known from earlier runs.
const KNOWN: &str = "compiles.json";

/// The mutants that an error is in.
fn modules(span: &DiagnosticSpan) -> Vec<String> {
    let mut found = Vec::new();
    let mut next = Some(span);
    while let Some(span) = next {
        let file = Path::new(&span.file_name);
        let is_mutant = file.parent().is_some_and(|folder| {
            folder.file_name().is_some_and(|name| name.to_string_lossy().starts_with("step_"))
        });
        if is_mutant {
            found.extend(file.file_stem().map(|stem| stem.to_string_lossy().into_owned()));
        }
        next = span.expansion.as_ref().map(|expansion| &expansion.span);
    }
    found
}

/// Leaves a file alone that has this text: to cargo, a file that is written has changed.
fn write(file: &Path, text: &str) -> anyhow::Result<()> {
    if fs::read_to_string(file).is_ok_and(|old| old == text) {
        return Ok(());
    }
    fs::write(file, text).with_context(|| format!("can't write {}", file.display()))
}

/// The digest of everything that a verdict depends on, except the mutant.
pub fn digest_of_judge(root: &Path) -> anyhow::Result<String> {
    let mut files = vec![
        root.join("Cargo.lock"),
        root.join("judge/examples/mutants/judging.rs"),
        root.join("judge/examples/mutants/package.toml"),
        root.join("judge/examples/mutants/program.rs.txt"),
    ];
    for folder in ["judge/src", "kit/src", "kit/vectors", "solutions"] {
        sources(&root.join(folder), &mut files)?;
    }
    files.sort();
    let texts: Vec<_> = files.iter().map(fs::read).collect::<Result<_, _>>()?;
    Ok(digest(texts))
}

fn sources(folder: &Path, files: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            sources(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "rs" || extension == "json")
        {
            files.push(path);
        }
    }
    Ok(())
}
