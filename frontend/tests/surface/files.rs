//! Files: what NumPy wrote is read, what is written comes back, and broken files are errors.

use super::{is, read};
use gradloom_frontend::prelude::*;
use gradloom_frontend::{Error, ErrorKind, Tensor, io};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// A file that is removed when the test ends.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Scratch {
        Scratch(std::env::temp_dir().join(format!("gradloom-{}-{name}", std::process::id())))
    }

    fn with(name: &str, bytes: &[u8]) -> Scratch {
        let s = Scratch::new(name);
        std::fs::write(&s.0, bytes).unwrap();
        s
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[derive(Tree, Clone)]
struct Layer {
    w: Tensor,
    b: Tensor,
}

#[derive(Tree, Clone)]
struct Model {
    layers: Vec<Layer>,
    steps: Tensor,
}

fn model(scale: f32) -> Model {
    let layer =
        |k: f32| Layer { w: Tensor::full([2, 3], k * scale, DType::F32), b: Tensor::full([3], -k * scale, DType::F32) };
    Model { layers: vec![layer(1.0), layer(2.0)], steps: Tensor::from(7) }
}

fn says(e: &Error, parts: &[&str]) {
    let text = e.to_string();
    for p in parts {
        assert!(text.contains(p), "`{p}` is missing from:\n{text}");
    }
}

#[test]
fn weights_by_path() {
    let file = Scratch::new("weights.safetensors");
    io::save_safetensors(&file.0, &model(1.5)).unwrap();
    let back = io::load_safetensors(&file.0, &model(0.0)).unwrap();
    for (a, b) in back.leaves().iter().zip(model(1.5).leaves()) {
        assert_eq!(a.dtype(), b.dtype());
        assert_eq!(read(a), read(&b));
    }
    let all = io::load_safetensors_all(&file.0).unwrap();
    assert_eq!(all.keys().collect::<Vec<_>>(), ["layers.0.b", "layers.0.w", "layers.1.b", "layers.1.w", "steps"]);
    let mut short = model(1.0);
    short.layers.pop();
    let e = io::load_safetensors(&file.0, &short).err().unwrap();
    says(&e, &["load_safetensors", "the tree has no `layers.1.b`, `layers.1.w`", "load_safetensors_all"]);
    let mut long = model(1.0);
    long.layers.push(long.layers[0].clone());
    long.layers[0].w = Tensor::zeros([3, 2]);
    long.steps = Tensor::from(1.0f32);
    let e = io::load_safetensors(&file.0, &long).err().unwrap();
    says(
        &e,
        &[
            "it lacks `layers.2.w`, `layers.2.b`",
            "`layers.0.w` is f32[2,3] where f32[3,2] is wanted",
            "`steps` is i32[]",
        ],
    );
}

#[test]
fn every_dtype_comes_back() {
    let x = Tensor::from_slice([2, 2], &[0i32, 1, 2, 100]);
    let tree: BTreeMap<String, Tensor> = DType::ALL.into_iter().map(|d| (d.to_string(), x.to(d))).collect();
    let (s, z) = (Scratch::new("all.safetensors"), Scratch::new("all.npz"));
    // safetensors has no c128, NumPy no bf16
    let without = |d: &str| -> BTreeMap<String, Tensor> {
        tree.iter().filter(|(n, _)| *n != d).map(|(n, t)| (n.clone(), t.clone())).collect()
    };
    let (weights, arrays) = (without("c128"), without("bf16"));
    io::save_safetensors(&s.0, &weights).unwrap();
    io::save_npz(&z.0, &arrays).unwrap();
    for (back, tree) in [(io::load_safetensors_all(&s.0).unwrap(), weights), (io::load_npz(&z.0).unwrap(), arrays)] {
        assert_eq!(back.len(), tree.len());
        for (name, t) in &tree {
            assert_eq!(back[name].ty(), t.ty());
            assert_eq!(read(&back[name]), read(t));
        }
    }
    for shape in [vec![], vec![3usize], vec![0, 2], vec![1, 2, 3]] {
        let n = Scratch::new("shape.npy");
        let t = Tensor::zeros(&shape);
        io::save_npy(&n.0, &t).unwrap();
        assert_eq!(io::load_npy(&n.0).unwrap().ty(), t.ty());
        assert_eq!(std::fs::read(&n.0).unwrap().len(), 128 + t.size() * 4);
    }
}

/// The bytes are those `numpy.save` and `numpy.savez_compressed` wrote.
#[test]
#[rustfmt::skip]
fn files_of_numpy() {
    let load = |bytes: &[u8]| io::load_npy(&Scratch::with("numpy.npy", bytes).0).unwrap();
    let fortran = b"\x93NUMPY\x01\x00v\x00{'descr': '<f4', 'fortran_order': True, 'shape': (2, 3), }                \
        \x20                                          \n\x00\x00\x00\x00\x00\x00@@\x00\x00\x80?\x00\x00\x80\
        @\x00\x00\x00@\x00\x00\xa0@";
    is(&load(fortran), &[2, 3], &[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
    let big_endian = b"\x93NUMPY\x01\x00v\x00{'descr': '>i2', 'fortran_order': False, 'shape': (3,), }                 \
        \x20                                          \n\x00\x01\xff\xfe\x01,";
    is(&load(big_endian), &[3], &[1.0, -2.0, 300.0]);
    let half = b"\x93NUMPY\x01\x00v\x00{'descr': '<f2', 'fortran_order': False, 'shape': (4,), }                 \
        \x20                                          \n\x00>\x00\xc0\xff{\x00|";
    let half = load(half);
    assert_eq!(half.dtype(), DType::F16);
    is(&half, &[4], &[1.5, -2.0, 65504.0, f64::INFINITY]);
    let flag = b"\x93NUMPY\x01\x00v\x00{'descr': '|b1', 'fortran_order': False, 'shape': (), }                   \
        \x20                                          \n\x01";
    assert!(load(flag).item::<bool>().unwrap());
    let archive = b"PK\x03\x04-\x00\x00\x00\x08\x00\x00\x00!\x00\xf7@\x12\xea\xff\xff\xff\xff\xff\xff\xff\xff\x05\
        \x00\x14\x00a.npy\x01\x00\x10\x00\x98\x00\x00\x00\x00\x00\x00\x00L\x00\x00\x00\x00\x00\x00\x00\
        \x9b\xec\x17\xea\x1b\x10\xc9\xc8P\xc6P\xad\x9e\x92Z\x9c\\\xa4n\xa5\xa0n\x93i\xa1\xae\xa3\xa0\x9e\
        \x96_TR\x94\x98\x17\x9f_\x94\x92\n\x12wK\xcc)N\x05\x8a\x17g$\x16\xa4\x02\xf9\x1a\xc6:\x9a:\n\xb5\
        \n\x14\x00.\x06(`\x84\xd2LP\x1a\x00PK\x03\x04-\x00\x00\x00\x08\x00\x00\x00!\x00\xda\xf5\x09f\xff\
        \xff\xff\xff\xff\xff\xff\xff\x07\x00\x14\x00b.c.npy\x01\x00\x10\x00\x88\x00\x00\x00\x00\x00\x00\
        \x00K\x00\x00\x00\x00\x00\x00\x00\x9b\xec\x17\xea\x1b\x10\xc9\xc8P\xc6P\xad\x9e\x92Z\x9c\\\xa4n\
        \xa5\xa0n\x93f\xa1\xae\xa3\xa0\x9e\x96_TR\x94\x98\x17\x9f_\x94\x92\n\x12wK\xcc)N\x05\x8a\x17g$\
        \x16\xa4\x02\xf9\x1a\x86:\n\x86\x9a:\n\xb5\nd\x03.\x060x`\x0f\x00PK\x01\x02-\x03-\x00\x00\x00\
        \x08\x00\x00\x00!\x00\xf7@\x12\xeaL\x00\x00\x00\x98\x00\x00\x00\x05\x00\x00\x00\x00\x00\x00\x00\
        \x00\x00\x00\x00\x80\x01\x00\x00\x00\x00a.npyPK\x01\x02-\x03-\x00\x00\x00\x08\x00\x00\x00!\x00\
        \xda\xf5\x09fK\x00\x00\x00\x88\x00\x00\x00\x07\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x80\
        \x01\x83\x00\x00\x00b.c.npyPK\x05\x06\x00\x00\x00\x00\x02\x00\x02\x00h\x00\x00\x00\x07\x01\x00\
        \x00\x00\x00";
    let archive = io::load_npz(&Scratch::with("numpy.npz", archive).0).unwrap();
    is(&archive["a"], &[3], &[0.0, 1.0, 2.0]);
    is(&archive["b.c"], &[1, 1], &[0.5]);
}

#[test]
fn broken_files() {
    let npy = |bytes: &[u8]| io::load_npy(&Scratch::with("broken.npy", bytes).0).expect_err("an error");
    says(&npy(b""), &["load_npy", "broken.npy", "does not begin"]);
    says(&npy(b"\x93NUMPY\x01"), &["ends within the header"]);
    says(&npy(b"\x93NUMPY\x02\0\xff\xff\xff\xff{}"), &["ends within the header"]);
    let with = |header: &str, data: &[u8]| {
        let length = (header.len() as u16).to_le_bytes();
        npy(&[b"\x93NUMPY\x01\x00", &length[..], header.as_bytes(), data].concat())
    };
    says(&with("{}", b""), &["no descr"]);
    says(&with("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': ()}", b""), &["records"]);
    says(&with("{'descr': '<M8', 'fortran_order': False, 'shape': ()}", b""), &["'<M8'"]);
    says(&with("{'descr': '', 'fortran_order': False, 'shape': ()}", b""), &["''"]);
    says(&with("{'descr': '\u{e9}4', 'fortran_order': False, 'shape': ()}", b""), &["dtype"]);
    says(&with("{'descr': '<f4', 'fortran_order': False, 'shape': (2,)}", b"1234567"), &["7 bytes", "[2]"]);
    let huge = "{'descr': '<f4', 'fortran_order': False, 'shape': (9223372036854775807, 9223372036854775807)}";
    says(&with(huge, b""), &["0 bytes"]);
    says(&with("{'descr': '<f4', 'fortran_order': False, 'shape': (-1,)}", b""), &["`-1` is no length"]);
    let file = Scratch::with("broken.npz", b"PK no archive");
    says(&io::load_npz(&file.0).expect_err("an error"), &["load_npz", "broken.npz"]);
    for bytes in [&b"short"[..], &[0xff; 64], b"\x10\0\0\0\0\0\0\0{\"a\":{\"dtype\":1}}"] {
        let file = Scratch::with("broken.safetensors", bytes);
        says(&io::load_safetensors_all(&file.0).expect_err("an error"), &["is not a safetensors file"]);
    }
    let nowhere = io::load_npy("/nowhere/at/all.npy").expect_err("an error");
    assert_eq!(nowhere.kind(), ErrorKind::Io);
    says(&nowhere, &["read /nowhere/at/all.npy"]);
    assert!(io::save_npy("/nowhere/at/all.npy", &Tensor::zeros([1])).is_err());
}

#[test]
fn what_has_no_elements_is_not_saved() {
    let file = Scratch::new("none.safetensors");
    let wrong = Tensor::zeros([2]) + Tensor::zeros([3]);
    says(&io::save_safetensors(&file.0, &vec![wrong]).expect_err("an error"), &["f32[2]", "f32[3]"]);
    assert!(!file.0.exists());
    let one = |name: &str| BTreeMap::from([(name.to_string(), Tensor::zeros([1]))]);
    let twice = BTreeMap::from([("a".to_string(), one("b.c")), ("a.b".to_string(), one("c"))]);
    says(&io::save_npz(&file.0, &twice).expect_err("an error"), &["save_npz", "two leaves have the name `a.b.c`"]);
    io::save_npz(&file.0, &()).unwrap();
    assert!(io::load_npz(&file.0).unwrap().is_empty());
}
