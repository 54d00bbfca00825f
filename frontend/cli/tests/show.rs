//! `gradloom show`, run as its users run it: the texts, and what is written into the page.

use gradloom_ir::{Graph, parse};
use serde_json::Value;
use std::collections::HashSet;
use std::path::PathBuf;
use std::process::{Command, Output};

/// A folder of one test, removed at the end.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Scratch {
        let dir = std::env::temp_dir().join(format!("gradloom-show-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&dir).expect("a temporary folder");
        Scratch(dir)
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }

    fn write(&self, name: &str, text: &str) -> String {
        std::fs::write(self.0.join(name), text).expect("a temporary file");
        self.path(name)
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.0.join(name)).expect("a file")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn gradloom(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_gradloom")).arg("show").args(args).output().expect("the program starts")
}

#[track_caller]
fn shown(args: &[&str]) -> String {
    let out = gradloom(args);
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).expect("text")
}

/// A layer, a loop and a branch; its second negation undoes the first.
const PROGRAM: &str = "graph(%0: f32[8,16] \"x\", %1: f32[16,4] \"w\", %2: i32[] \"which\") {
  %3 = dot_general(%0, %1) {lhs_batch = [], rhs_batch = [], lhs_contract = [1], rhs_contract = [0]} : f32[8,4] loc(\"m.rs\":3)
  %4 = negate(%3) : f32[8,4] loc(\"m.rs\":4)
  %5 = negate(%4) : f32[8,4] loc(\"m.rs\":4)
  %6 = tanh(%5) : f32[8,4] loc(\"m.rs\":5)
  %7 = scan(%6) {body = graph(%0: f32[8,4]) {
    %1 = dot_general(%0, %0) {lhs_batch = [], rhs_batch = [], lhs_contract = [0], rhs_contract = [0]} : f32[4,4]
    %2 = dot_general(%0, %1) {lhs_batch = [], rhs_batch = [], lhs_contract = [1], rhs_contract = [0]} : f32[8,4]
    %3 = tanh(%2) : f32[8,4]
    return %3
  }, length = 5, reverse = false, consts = 0, carry = 1} : f32[8,4] loc(\"m.rs\":6)
  %8 = switch(%2, %7) {branches = [graph(%0: f32[8,4]) {
    %1 = sine(%0) : f32[8,4]
    return %1
  }, graph(%0: f32[8,4]) {
    return %0
  }]} : f32[8,4] loc(\"m.rs\":7)
  %9 = reduce(%8) {kind = \"sum\", axes = [1]} : f32[8] loc(\"m.rs\":8)
  return %9, %6
}";

#[test]
fn the_program_reads_back() {
    let dir = Scratch::new("text");
    let file = dir.write("f.txt", PROGRAM);
    let said = shown(&[&file]);
    assert_eq!(parse(&said).expect("a program"), parse(PROGRAM).expect("a program"));
    assert_eq!(said.trim_end(), PROGRAM);

    let numbers: Vec<String> = (0..100).map(|i| format!("{i}.0")).collect();
    let constant = format!("constant() {{value = dense<[{}] : f32[100]>}} : f32[100]", numbers.join(", "));
    let text = format!("graph() {{ %0 = {constant} return %0 }}");
    let file = dir.write("constant.txt", &text);
    assert_eq!(
        shown(&[&file]),
        "graph() {\n  %0 = constant() {value = dense<[..] : f32[100]>} : f32[100]\n  return %0\n}\n"
    );
    let full = shown(&[&file, "--full"]);
    assert_eq!(parse(&full).expect("a program"), parse(&text).expect("a program"));
    assert!(full.lines().all(|l| l.chars().count() <= 200) && full.lines().count() > 4, "{full}");
}

#[test]
fn passes_show_what_they_change_and_names_stay() {
    let dir = Scratch::new("passes");
    let said = shown(&[&dir.write("f.txt", PROGRAM), "--passes"]);
    assert!(said.starts_with("graph(%0: f32[8,16] \"x\""), "{said}");
    // the negations go, what reads them keeps its name, and so does all that follows
    let (_, simplified) = said.split_once("\nsimplify ").expect("the pass is there");
    let diff = simplified.split_once("us ").expect("a time").1;
    let changed: Vec<&str> =
        diff.lines().take_while(|l| !l.contains(" us ")).filter(|l| l.starts_with(['-', '+'])).collect();
    assert_eq!(
        changed,
        [
            "-  %4 = negate(%3) : f32[8,4] loc(\"m.rs\":4)",
            "-  %5 = negate(%4) : f32[8,4] loc(\"m.rs\":4)",
            "-  %6 = tanh(%5) : f32[8,4] loc(\"m.rs\":5)",
            "+  %6 = tanh(%3) : f32[8,4] loc(\"m.rs\":5)"
        ],
        "{said}"
    );
    assert!(said.contains("nodes, no change\n"), "{said}");
}

#[test]
fn kernels_have_loops_and_code() {
    let dir = Scratch::new("kernels");
    let said = shown(&[&dir.write("f.txt", PROGRAM), "--kernels"]);
    for part in [
        "step 0: library call dot_general",
        "1.02 kflop",
        "%6 = tanh(%3) : f32[8,4]",
        "step 2: control scan",
        "step 2.body0.0: library call dot_general",
        "runs 5 times",
        "step 3.body0.0: kernel",
        "    for i < 8",
        "reduce j < 4",
        "B live",
    ] {
        assert!(said.contains(part), "no {part:?} in\n{said}");
    }
    assert!(
        said.contains("in Cranelift's code:\n    function u0:") || said.contains("as assembly:\n    push"),
        "{said}"
    );
    // a loop over few numbers is one step
    let body = "graph(%0: f32[]) { %1 = sine(%0) : f32[] return %1 }";
    let text = format!(
        "graph(%0: f32[]) {{ %1 = scan(%0) {{body = {body}, length = 7, reverse = false, consts = 0, carry = 1}} : f32[] return %1 }}"
    );
    let said = shown(&[&dir.write("g.txt", &text), "--kernels"]);
    assert!(said.contains("step 0: recurrence"), "{said}");
    assert!(said.contains("acc0: f32 = p0[0]\n      for i < 7\n        %0 = acc0\n        %1 = sine %0\n        acc0 = %1\n      p1[0] = acc0\n"), "{said}");
}

#[test]
fn pictures_are_files() {
    let dir = Scratch::new("pictures");
    let (dot, svg) = (dir.path("f.dot"), dir.path("f.svg"));
    let said = shown(&[&dir.write("f.txt", PROGRAM), "--dot", &dot, "--memory", &svg]);
    assert_eq!(said, "");
    let dot = dir.read("f.dot");
    for part in [
        "subgraph cluster_n4 {",
        "subgraph cluster_n4b0 {",
        "n4b0_v0 -> n4b0_n0;",
        "  n3 -> n4;",
        "subgraph cluster_n5b1 {",
    ] {
        assert!(dot.contains(part), "no {part:?} in\n{dot}");
    }
    assert_eq!(dot.matches('{').count(), dot.matches('}').count());
    let svg = dir.read("f.svg");
    assert!(svg.starts_with("<svg") && svg.contains("B of intermediates, most at step"), "{svg}");
}

#[test]
fn mistakes_are_told_on_stderr() {
    let dir = Scratch::new("mistakes");
    let collective = dir.write("c.txt", "graph() { %0 = axis_index() {axis_name = \"rows\"} : i32[] return %0 }");
    let good = dir.write("f.txt", PROGRAM);
    let nowhere = dir.path("none/page.html");
    let broken = dir.write("bad.txt", "graph(");
    for (args, expected) in [
        (vec![dir.path("none.txt")], "none.txt"),
        (vec![broken], "parse: 1:7"),
        (vec![collective.clone(), "--kernels".into()], "no mapped axis is named \"rows\" here"),
        (vec![good, "--html".into(), nowhere], "none/page.html"),
    ] {
        let out = gradloom(&args.iter().map(String::as_str).collect::<Vec<_>>());
        let said = String::from_utf8_lossy(&out.stderr).into_owned();
        assert_eq!(out.status.code(), Some(1), "{said}");
        assert!(said.starts_with("error: ") && said.contains(expected), "{said}");
        assert!(out.stdout.is_empty());
    }
    // what cannot be compiled can be seen
    let said = shown(&[&collective, "--passes", "--html", &dir.path("c.html")]);
    assert!(said.contains("not compiled: axis_index: no mapped axis"), "{said}");
    assert!(data(&dir.read("c.html"))["message"].as_str().expect("a text").starts_with("Not compiled: axis_index"));
}

/// The data of a page; all else in it must be the same for every program.
#[track_caller]
fn data(page: &str) -> Value {
    let (head, rest) = page.split_once("<script type=\"application/json\" id=\"data\">").expect("data");
    let (json, tail) = rest.split_once("</script>").expect("an end");
    assert!(!json.contains('<'), "nothing in the data can end it");
    assert!(!head.contains("{{") && tail.ends_with("</html>\n"));
    // no network, no markup made of text
    let rest = format!("{head}{tail}").replace("http://www.w3.org/2000/svg", "");
    for way_out in
        ["http:", "https:", " src=", " href=", "@import", "fetch(", "innerHTML", "insertAdjacentHTML", "document.write"]
    {
        assert!(!rest.contains(way_out), "{way_out}");
    }
    serde_json::from_str(json).expect("JSON")
}

fn list(v: &Value) -> &[Value] {
    v.as_array().expect("a list")
}

fn int(v: &Value) -> i64 {
    v.as_i64().expect("a number")
}

/// Checks the layout of a graph of the data against the program: every box once, none over another, edges down.
#[track_caller]
fn check_graph(json: &Value, g: &Graph) {
    let (inputs, nodes, outputs) = (list(&json["inputs"]), list(&json["nodes"]), list(&json["outputs"]));
    assert_eq!((inputs.len(), nodes.len(), outputs.len()), (g.num_inputs(), g.nodes().len(), g.num_outputs()));
    let mut seen = HashSet::new();
    let groups = list(&json["groups"]);
    let definitions = g.definitions();
    let mut open = vec![&json["rows"]];
    while let Some(rows) = open.pop() {
        let mut row_of = std::collections::HashMap::new();
        for (r, row) in list(rows).iter().enumerate() {
            let mut free = 0;
            for b in list(row) {
                let (kind, index, x, width) = (int(&b[0]), int(&b[1]) as usize, int(&b[2]), int(&b[3]));
                assert!(x >= free && width > 0, "boxes overlap");
                free = x + width + 16;
                assert!(seen.insert((kind, index)), "{kind} {index} twice");
                row_of.insert((kind, index), r);
                if kind == 3 {
                    open.push(&groups[index][2]);
                }
            }
        }
        for (i, node) in g.nodes().iter().enumerate() {
            for a in &node.args {
                let from = definitions[a.index()].map_or((0, a.index()), |d| (1, d));
                if let (Some(from), Some(to)) = (row_of.get(&from), row_of.get(&(1, i))) {
                    assert!(from < to, "edges lead down");
                }
            }
        }
    }
    let all = |kind: i64, n: usize| (0..n).all(|i| seen.contains(&(kind, i)));
    assert!(all(0, inputs.len()) && all(1, nodes.len()) && all(2, outputs.len()) && all(3, groups.len()));
    for (json, node) in nodes.iter().zip(g.nodes()) {
        assert_eq!(
            list(&json[1]).iter().map(int).collect::<Vec<_>>(),
            node.args.iter().map(|a| a.index() as i64).collect::<Vec<_>>()
        );
        for (json, body) in list(&json[10]).iter().zip(node.op.bodies()) {
            check_graph(json, body);
        }
    }
}

/// The page without what depends on the clock.
fn timeless(mut data: Value) -> Value {
    data["stages"].as_array_mut().expect("stages").iter_mut().for_each(|s| s["ms"] = Value::Null);
    data
}

#[test]
fn the_page_has_every_node_once_and_is_the_same_every_time() {
    let dir = Scratch::new("page");
    let file = dir.write("f.txt", PROGRAM);
    let page = |name: &str| {
        assert_eq!(shown(&[&file, "--html", &dir.path(name)]), "");
        data(&dir.read(name))
    };
    let json = page("a.html");
    let g = parse(PROGRAM).expect("a program");
    check_graph(&json["graphs"][0], &g);
    let string = |v: &Value| json["strings"][int(v) as usize].as_str().expect("a text").to_string();
    let first = &json["graphs"][0]["nodes"][0];
    assert_eq!((string(&first[0]), string(&first[4]), int(&first[5])), ("dot_general".into(), "m.rs".into(), 3));
    assert_eq!(string(&first[6]), "lhs_batch = [], rhs_batch = [], lhs_contract = [1], rhs_contract = [0]");
    assert_eq!((int(&first[7]), int(&first[8])), (2 * 8 * 16 * 4, 4 * (8 * 16 + 16 * 4 + 8 * 4)));
    assert_eq!(list(&json["stages"])[0]["pass"], "as read");

    // in the last program each node but constants is in a kernel, and the kernels of bodies are there too
    let last = list(&json["graphs"]).last().expect("a graph");
    let tanh = list(&last["nodes"]).iter().find(|n| string(&n[0]) == "tanh").expect("tanh");
    assert_eq!(list(&tanh[9]).len(), 1);
    let kernels = list(&json["kernels"]);
    let inner = kernels.iter().find(|k| k["path"] == "2.body0.0").expect("a kernel of the loop");
    assert_eq!((int(&inner["times"]), int(&inner["flops"])), (5, 2 * 4 * 4 * 8));
    assert_eq!(list(&last["nodes"])[2][10][0]["nodes"][0][9], serde_json::json!([3]));

    assert_eq!(timeless(json), timeless(page("b.html")));
}

#[test]
fn names_cannot_break_out_of_the_page() {
    let dir = Scratch::new("hostile");
    let nasty = "</script><script>alert(1)</script><!-- <img src=x onerror=alert(2)> {{script}} & ' ` \\u{202e}";
    let text = format!("graph(%0: f32[2] \"{nasty}\") {{ %1 = sine(%0) : f32[2] loc(\"{nasty}\":1) return %1 }}");
    let file = dir.write("f.txt", &text);
    shown(&[&file, "--html", &dir.path("f.html"), "--dot", &dir.path("f.dot")]);
    let page = dir.read("f.html");
    let json = data(&page);
    assert_eq!(page.matches("<script").count(), 2);
    assert_eq!(json["graphs"][0]["inputs"][0][1], nasty.replace("\\u{202e}", "\u{202e}"));
    // only lines of the program's own file are quoted
    assert_eq!(json["sources"], serde_json::json!({}));
    let own = dir.path("own.txt");
    let text = format!("graph(%0: f32[2]) {{ %1 = sine(%0) : f32[2] loc({own:?}:1) return %1 }}");
    dir.write("own.txt", &text);
    shown(&[&own, "--html", &dir.path("own.html")]);
    assert_eq!(data(&dir.read("own.html"))["sources"], serde_json::json!({"1": text}));
}

/// A chain with shortcuts: `nodes` nodes, no two of which are alike, and one that nobody reads.
fn large(nodes: usize) -> String {
    let line = |i: usize| match i % 3 {
        0 => format!("%{} = add(%{}, %{}) : f32[4]\n", i + 1, i, i / 2),
        1 => format!("%{} = multiply(%{}, %{}) : f32[4]\n", i + 1, i, i - i.min(7)),
        _ => format!("%{} = sine(%{}) : f32[4]\n", i + 1, i),
    };
    let body: String = (0..nodes).map(line).collect();
    let last = nodes + 1;
    format!("graph(%0: f32[4]) {{\n{body}%{last} = negate(%0) : f32[4]\nreturn %{nodes}\n}}")
}

#[test]
fn large_programs_fold() {
    let dir = Scratch::new("large");
    let text = large(7000);
    let file = dir.write("f.txt", &text);
    shown(&[&file, "--html", &dir.path("f.html")]);
    let json = data(&dir.read("f.html"));
    let g = parse(&text).expect("a program");
    let first = &json["graphs"][0];
    check_graph(first, &g);
    let boxes: usize = list(&first["rows"]).iter().map(|r| list(r).len()).sum();
    assert!(boxes < 100, "{boxes}");
}

#[test]
fn a_program_too_large_to_draw_says_so() {
    let dir = Scratch::new("huge");
    // a constant a line, none of which is used: quick to compile
    let lines: String = (0..100_001).map(|i| format!("%{} = sine(%0) : f32[]\n", i + 1)).collect();
    let file = dir.write("f.txt", &format!("graph(%0: f32[]) {{\n{lines}return %7\n}}"));
    shown(&[&file, "--html", &dir.path("f.html")]);
    let json = data(&dir.read("f.html"));
    let stages = list(&json["stages"]);
    assert_eq!(stages[0]["message"], "not drawn: 100001 nodes are too many");
    assert_eq!(stages[0]["graph"], Value::Null);
    assert!(json["message"].as_str().expect("a text").contains("too large to be drawn"));
    assert_eq!(list(&json["graphs"]).len(), 1);
}

#[test]
fn stablehlo_is_shown_too() {
    let dir = Scratch::new("stablehlo");
    let file = dir.write(
        "f.mlir",
        "func.func @main(%x: tensor<3xf32>) -> tensor<3xf32> {\n  %0 = stablehlo.sine %x : tensor<3xf32>\n  \
         return %0 : tensor<3xf32>\n}",
    );
    let said = shown(&[&file]);
    assert!(said.contains("%1 = sine(%0) : f32[3] loc("), "{said}");
    shown(&[&file, "--html", &dir.path("f.html")]);
    assert_eq!(
        data(&dir.read("f.html"))["sources"],
        serde_json::json!({"2": "%0 = stablehlo.sine %x : tensor<3xf32>"})
    );
}

#[test]
fn every_pass_is_listed_and_shown_with_an_example() {
    let passes = |args: &[&str]| {
        let out = Command::new(env!("CARGO_BIN_EXE_gradloom")).arg("passes").args(args).output().expect("it starts");
        (
            out.status.success(),
            String::from_utf8(out.stdout).expect("text"),
            String::from_utf8(out.stderr).expect("text"),
        )
    };
    let (_, list, _) = passes(&[]);
    for offer in gradloom_passes::catalogue() {
        assert!(list.contains(offer.name), "{list}");
        let (fine, text, _) = passes(&[offer.name]);
        assert!(fine && text.contains(offer.example().0) && text.contains(offer.example().1), "{text}");
    }
    let (fine, _, error) = passes(&["smplify"]);
    assert!(!fine && error.contains("no pass named `smplify`") && error.contains("simplify"), "{error}");
}
