//! Calls of the runtime's functions from generated code.

use super::emit::Emitter;
use cranelift_codegen::ir::{AbiParam, FuncRef, InstBuilder, Type, Value};
use cranelift_frontend::FunctionBuilder;
use cranelift_module::{Linkage, Module};
use gradloom_runtime::symbol;
use std::collections::HashMap;

/// The functions a kernel has called so far.
pub(super) struct Externs<'a> {
    module: &'a mut dyn Module,
    known: HashMap<&'static str, FuncRef>,
}

impl<'a> Externs<'a> {
    pub fn new(module: &'a mut dyn Module) -> Externs<'a> {
        Externs { module, known: HashMap::new() }
    }

    /// The function `name` of `params` operands of type `ty` that returns one more.
    fn get(&mut self, b: &mut FunctionBuilder, name: &'static str, params: usize, ty: Type) -> FuncRef {
        *self.known.entry(name).or_insert_with(|| {
            let mut signature = self.module.make_signature();
            signature.params = vec![AbiParam::new(ty); params];
            signature.returns = vec![AbiParam::new(ty)];
            let id = self
                .module
                .declare_function(&symbol(name), Linkage::Import, &signature)
                .expect("a name is always declared with the same signature");
            self.module.declare_func_in_func(id, b.func)
        })
    }
}

impl Emitter<'_> {
    /// Calls the function `name` of [`gradloom_runtime::functions`], whose operands and result have type `ty`.
    pub fn call(&mut self, name: &'static str, args: &[Value], ty: Type) -> Value {
        let function = self.externs.get(&mut self.b, name, args.len(), ty);
        let call = self.b.ins().call(function, args);
        self.b.inst_results(call)[0]
    }
}
