// Loops that count and loops that do not, branches, calls, composites, what regions use from around them.
module @test {
  func.func public @main() {
    %x:3 = call @inputs() : () -> (tensor<3xf32>, tensor<i32>, tensor<i1>)
    %want:10 = call @expected() : () -> (tensor<i32>, tensor<3xf32>, tensor<f32>, tensor<3xf32>, tensor<3xf32>, tensor<3xf32>, tensor<f32>, tensor<3xf32>, tensor<3xf32>, tensor<3xf32>)
    %c = stablehlo.constant dense<0> : tensor<i32>
    %0:2 = stablehlo.while(%i = %c, %s = %x#0) : tensor<i32>, tensor<3xf32>
     cond {
      %n = stablehlo.constant dense<7> : tensor<i32>
      %p = stablehlo.compare LT, %i, %n, SIGNED : (tensor<i32>, tensor<i32>) -> tensor<i1>
      stablehlo.return %p : tensor<i1>
    } do {
      %two = stablehlo.constant dense<2> : tensor<i32>
      %j = stablehlo.add %i, %two : tensor<i32>
      %t = func.call @double(%s) : (tensor<3xf32>) -> tensor<3xf32>
      %u = stablehlo.add %t, %x#0 : tensor<3xf32>
      stablehlo.return %j, %u : tensor<i32>, tensor<3xf32>
    }
    %limit = stablehlo.constant dense<1.0e+02> : tensor<f32>
    %sum0 = stablehlo.constant dense<1.0> : tensor<f32>
    %1 = stablehlo.while(%s = %sum0) : tensor<f32>
     cond {
      %p = stablehlo.compare LT, %s, %limit, FLOAT : (tensor<f32>, tensor<f32>) -> tensor<i1>
      stablehlo.return %p : tensor<i1>
    } do {
      %t = stablehlo.add %s, %s : tensor<f32>
      stablehlo.return %t : tensor<f32>
    }
    %2 = "stablehlo.case"(%x#1) ({
      stablehlo.return %x#0 : tensor<3xf32>
    }, {
      %t = stablehlo.negate %0#1 : tensor<3xf32>
      stablehlo.return %t : tensor<3xf32>
    }) : (tensor<i32>) -> tensor<3xf32>
    %minus = stablehlo.constant dense<-3> : tensor<i32>
    %3 = "stablehlo.case"(%minus) ({
      stablehlo.return %x#0 : tensor<3xf32>
    }, {
      stablehlo.return %0#1 : tensor<3xf32>
    }) : (tensor<i32>) -> tensor<3xf32>
    %4:2 = "stablehlo.if"(%x#2) ({
      stablehlo.return %x#0, %1 : tensor<3xf32>, tensor<f32>
    }, {
      %t = "stablehlo.if"(%x#2) ({
        stablehlo.return %limit : tensor<f32>
      }, {
        %u = stablehlo.add %1, %limit : tensor<f32>
        stablehlo.return %u : tensor<f32>
      }) : (tensor<i1>) -> tensor<f32>
      stablehlo.return %2, %t : tensor<3xf32>, tensor<f32>
    }) : (tensor<i1>) -> (tensor<3xf32>, tensor<f32>)
    %5 = stablehlo.composite "my.double" %x#0 {composite_attributes = {scale = 2.0 : f32}, decomposition = @double, version = 1 : i32} : (tensor<3xf32>) -> tensor<3xf32>
    %6 = call @"<lambda>"(%5) : (tensor<3xf32>) -> tensor<3xf32>
    %7:2 = stablehlo.optimization_barrier %6, %1 : tensor<3xf32>, tensor<f32>
    stablehlo.custom_call @check.expect_eq(%0#0, %want#0) {has_side_effect = true} : (tensor<i32>, tensor<i32>) -> ()
    stablehlo.custom_call @check.expect_eq(%0#1, %want#1) {has_side_effect = true} : (tensor<3xf32>, tensor<3xf32>) -> ()
    stablehlo.custom_call @check.expect_eq(%1, %want#2) {has_side_effect = true} : (tensor<f32>, tensor<f32>) -> ()
    stablehlo.custom_call @check.expect_eq(%2, %want#3) {has_side_effect = true} : (tensor<3xf32>, tensor<3xf32>) -> ()
    stablehlo.custom_call @check.expect_eq(%3, %want#4) {has_side_effect = true} : (tensor<3xf32>, tensor<3xf32>) -> ()
    stablehlo.custom_call @check.expect_eq(%4#0, %want#5) {has_side_effect = true} : (tensor<3xf32>, tensor<3xf32>) -> ()
    stablehlo.custom_call @check.expect_eq(%4#1, %want#6) {has_side_effect = true} : (tensor<f32>, tensor<f32>) -> ()
    stablehlo.custom_call @check.expect_eq(%5, %want#7) {has_side_effect = true} : (tensor<3xf32>, tensor<3xf32>) -> ()
    stablehlo.custom_call @check.expect_eq(%6, %want#8) {has_side_effect = true} : (tensor<3xf32>, tensor<3xf32>) -> ()
    stablehlo.custom_call @check.expect_eq(%7#0, %want#9) {has_side_effect = true} : (tensor<3xf32>, tensor<3xf32>) -> ()
    return
  }
  func.func private @inputs() -> (tensor<3xf32>, tensor<i32>, tensor<i1>) {
    %0 = stablehlo.constant dense<[5.0e-01, -1.0e+00, 2.0e+00]> : tensor<3xf32>
    %1 = stablehlo.constant dense<1> : tensor<i32>
    %2 = stablehlo.constant dense<false> : tensor<i1>
    return %0, %1, %2 : tensor<3xf32>, tensor<i32>, tensor<i1>
  }
  func.func private @expected() -> (tensor<i32>, tensor<3xf32>, tensor<f32>, tensor<3xf32>, tensor<3xf32>, tensor<3xf32>, tensor<f32>, tensor<3xf32>, tensor<3xf32>, tensor<3xf32>) {
    %0 = stablehlo.constant dense<8> : tensor<i32>
    %1 = stablehlo.constant dense<[1.55e+01, -3.1e+01, 6.2e+01]> : tensor<3xf32>
    %2 = stablehlo.constant dense<1.28e+02> : tensor<f32>
    %3 = stablehlo.constant dense<[-1.55e+01, 3.1e+01, -6.2e+01]> : tensor<3xf32>
    %4 = stablehlo.constant dense<[1.55e+01, -3.1e+01, 6.2e+01]> : tensor<3xf32>
    %5 = stablehlo.constant dense<[-1.55e+01, 3.1e+01, -6.2e+01]> : tensor<3xf32>
    %6 = stablehlo.constant dense<2.28e+02> : tensor<f32>
    %7 = stablehlo.constant dense<[1.0e+00, -2.0e+00, 4.0e+00]> : tensor<3xf32>
    %8 = stablehlo.constant dense<[2.0e+00, -4.0e+00, 8.0e+00]> : tensor<3xf32>
    %9 = stablehlo.constant dense<[2.0e+00, -4.0e+00, 8.0e+00]> : tensor<3xf32>
    return %0, %1, %2, %3, %4, %5, %6, %7, %8, %9 : tensor<i32>, tensor<3xf32>, tensor<f32>, tensor<3xf32>, tensor<3xf32>, tensor<3xf32>, tensor<f32>, tensor<3xf32>, tensor<3xf32>, tensor<3xf32>
  }
  func.func private @double(%x: tensor<3xf32> {mhlo.sharding = "{replicated}"}) -> (tensor<3xf32> {jax.result_info = ""}) {
    %0 = stablehlo.add %x, %x : tensor<3xf32> loc("here":1:2)
    return %0 : tensor<3xf32> loc(unknown)
  }
  func.func private @"<lambda>"(%x: tensor<3xf32>) -> tensor<3xf32> {
    %0 = call @double(%x) : (tensor<3xf32>) -> tensor<3xf32>
    return %0 : tensor<3xf32>
  }
}
