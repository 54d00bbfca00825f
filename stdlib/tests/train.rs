//! The training loop: it resumes bit by bit after any interruption, stops early, and draws its curve.

use gradloom_frontend::{Result, prelude::*};
use gradloom_stdlib::optim::*;
use gradloom_stdlib::train::{Checkpoints, Fitted, Trainer};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// A directory that is removed at the end.
struct Dir(PathBuf);

impl Dir {
    fn new(name: &str) -> Dir {
        let dir = std::env::temp_dir().join(format!("gradloom-train-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        Dir(dir)
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        // what is left behind in the temporary directory is no failure of the test
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

type State = (Vec<Tensor>, <AdamW as Transformation>::State<Vec<Tensor>>);

/// A small network on data drawn by the number of the step.
fn train(trainer: &Trainer, mut watch: impl FnMut(u64)) -> Result<Fitted<State>> {
    let optimizer = adamw(Schedule::cosine(0.02, 0.0, 400), 0.01);
    let step = jit(|((p, s), key): &(State, Tensor)| {
        let x = random::normal(&Key::from_tensor(key.clone()), [16, 3]);
        let y = (x.sum(1) * 2.0).sin();
        let (loss, g) = value_and_grad(|p: &Vec<Tensor>| (x.matmul(&p[0]).tanh().dot(&p[1]) - &y).square().mean(..))(p);
        (loss, optimizer.step(p, &g, s))
    });
    let p = vec![random::normal(&Key::new(1), [3, 64]), random::normal(&Key::new(2), [64]) * 0.1];
    let start = (p.clone(), optimizer.init(&p));
    trainer.run(
        start,
        |i, state| {
            watch(i);
            step.run((state, Key::new(i).to_tensor()))
        },
        |(p, _)| Ok(vec![("norm", f64::from(global_norm(p).item::<f32>()?))]),
    )
}

fn trainer(dir: &Path) -> Trainer {
    Trainer::new(400).every(7).quiet().checkpoints(dir, 1).stop_early("norm", 1000)
}

fn last_file(dir: &Path) -> Vec<u8> {
    std::fs::read(Checkpoints::open(dir, 2).unwrap().path(400)).unwrap()
}

const CHILD: &str = "GRADLOOM_TRAIN_CHILD";

/// What the killed processes run; nothing where the variable is not set.
#[test]
fn child() {
    if let Some(dir) = std::env::var_os(CHILD) {
        train(&trainer(Path::new(&dir)), |_| {}).unwrap();
    }
}

#[test]
fn a_run_that_is_killed_again_and_again_ends_where_it_would_have() {
    let (straight, killed) = (Dir::new("straight"), Dir::new("killed"));
    train(&trainer(&straight.0), |_| {}).unwrap();
    let done = || Checkpoints::open(&killed.0, 2).unwrap().steps().unwrap().last().copied().unwrap_or(0);
    let mut kills = 0;
    let mut child = None;
    for attempt in 0..200u64 {
        let before = done();
        if before >= 400 {
            break;
        }
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["child", "--exact", "--test-threads=1"])
            .env(CHILD, &killed.0)
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        // wait for some progress of this process, then for a moment that differs each time
        let steps = |done: u64| done >= (before + 20 + attempt * 7 % 40).min(400);
        while !steps(
            std::fs::read_dir(&killed.0).unwrap().flatten().filter_map(|e| step_of(&e.path())).max().unwrap_or(0),
        ) {
            if process.try_wait().unwrap().is_some() {
                break;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        std::thread::sleep(Duration::from_micros(attempt * 377 % 3000));
        process.kill().unwrap();
        child = Some(process.wait().unwrap());
        kills += 1;
    }
    assert_eq!(done(), 400, "{child:?}");
    assert!(kills >= 4, "killed {kills} times");
    assert!(last_file(&straight.0) == last_file(&killed.0), "the last checkpoints differ");
}

fn step_of(path: &Path) -> Option<u64> {
    path.file_name()?.to_str()?.strip_prefix("step-")?.strip_suffix(".safetensors")?.parse().ok()
}

#[test]
fn an_error_in_the_middle_loses_nothing() {
    let (straight, broken) = (Dir::new("whole"), Dir::new("broken"));
    let whole = train(&trainer(&straight.0), |_| {}).unwrap();
    let rare = Trainer::new(400).every(7).quiet().checkpoints(&broken.0, 50).stop_early("norm", 1000);
    let caught = std::panic::catch_unwind(|| train(&rare, |i| assert!(i != 173, "power is off")));
    assert!(caught.is_err());
    assert_eq!(Checkpoints::open(&broken.0, 2).unwrap().steps().unwrap(), [100, 150]);
    let mut first = None;
    let resumed = train(&rare, |i| first = first.or(Some(i))).unwrap();
    assert_eq!((first, resumed.steps), (Some(150), 400));
    assert_eq!(resumed.curve, whole.curve);
    assert!(last_file(&straight.0) == last_file(&broken.0));
    // a run that is done takes no further step
    let again = train(&rare, |_| panic!("there is nothing to do")).unwrap();
    assert_eq!(again.curve, whole.curve);
}

#[test]
fn stops_early_with_the_best_state() {
    // the loss falls until step 10 and then rises
    let dir = Dir::new("early");
    let run = |from: &mut Vec<u64>| {
        Trainer::new(100).every(1).quiet().checkpoints(&dir.0, 4).stop_early("loss", 5).run(
            Tensor::from(0.0f32),
            |i, x| {
                from.push(i);
                let x = x + 1.0;
                Ok(((&x - 10.0).abs(), x))
            },
            |_| Ok(vec![]),
        )
    };
    let mut steps = Vec::new();
    for _ in 0..2 {
        // the second run finds that the first had stopped
        let fitted = run(&mut steps).unwrap();
        assert!(fitted.stopped);
        assert_eq!((fitted.steps, fitted.state.item::<f32>().unwrap(), steps.len()), (15, 10.0, 15));
    }
    // a loss that is no number stops too
    let nan = Trainer::new(100).every(1).quiet().stop_early("loss", 3);
    let nan = nan.run(Tensor::from(0.0f32), |_, x| Ok((&x * f64::NAN, x)), |_| Ok(vec![])).unwrap();
    assert_eq!(nan.steps, 3);
}

#[test]
fn draws_its_curve_and_refuses_what_does_not_fit() {
    let dir = Dir::new("curve");
    let picture = dir.0.join("curve.svg");
    let step = |_: u64, x: Tensor| Ok((x.sum(..), x));
    let trainer = Trainer::new(20).quiet().curve(&picture).checkpoints(dir.0.join("c"), 10);
    let fitted = trainer.run(Tensor::ones([2]), step, |_| Ok(vec![("accuracy", 0.5)])).unwrap();
    assert_eq!((fitted.curve.last("accuracy"), fitted.curve.last("loss")), (Some(0.5), Some(2.0)));
    let svg = std::fs::read_to_string(picture).unwrap();
    assert!(svg.contains("accuracy") && svg.contains("loss"));
    let e = trainer.run(Tensor::ones([3]), step, |_| Ok(vec![])).unwrap_err().to_string();
    assert!(e.contains("`state.` of the checkpoint is f32[2], the state has f32[3]"), "{e}");
    let e = Trainer::new(1).quiet().run(Tensor::ones([3]), |_, x| Ok((x.clone(), x)), |_| Ok(vec![])).unwrap_err();
    assert!(e.to_string().contains("not a scalar"), "{e}");
    let typo = Trainer::new(1).quiet().stop_early("los", 2).run(Tensor::ones([3]), step, |_| Ok(vec![])).unwrap_err();
    assert!(typo.to_string().contains("there is no measure `los`"), "{typo}");
    let file = dir.0.join("file");
    std::fs::write(&file, "x").unwrap();
    assert!(Checkpoints::open(&file, 1).is_err());
}
