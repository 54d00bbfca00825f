// Comparators: ascending, descending, two keys, the total order, and ties.
module @test {
  func.func public @main() {
    %x:4 = call @inputs() : () -> (tensor<7xf32>, tensor<7xi32>, tensor<7xi32>, tensor<2x4xui8>)
    %want:10 = call @expected() : () -> (tensor<7xi32>, tensor<7xi32>, tensor<7xi32>, tensor<7xf32>, tensor<7xi32>, tensor<7xf32>, tensor<7xi32>, tensor<2x4xui8>, tensor<2x2xui8>, tensor<2x2xi32>)
    %0:2 = "stablehlo.sort"(%x#1, %x#2) <{dimension = 0 : i64, is_stable = true}> ({
    ^bb0(%a: tensor<i32>, %b: tensor<i32>, %c: tensor<i32>, %d: tensor<i32>):
      %p = stablehlo.compare GT, %a, %b, SIGNED : (tensor<i32>, tensor<i32>) -> tensor<i1>
      stablehlo.return %p : tensor<i1>
    }) : (tensor<7xi32>, tensor<7xi32>) -> (tensor<7xi32>, tensor<7xi32>)
    %1:3 = "stablehlo.sort"(%x#2, %x#0, %x#1) <{dimension = 0 : i64, is_stable = true}> ({
    ^bb0(%a: tensor<i32>, %b: tensor<i32>, %c: tensor<f32>, %d: tensor<f32>, %e: tensor<i32>, %f: tensor<i32>):
      %p = stablehlo.compare LT, %e, %f, SIGNED : (tensor<i32>, tensor<i32>) -> tensor<i1>
      %q = stablehlo.compare EQ, %e, %f, SIGNED : (tensor<i32>, tensor<i32>) -> tensor<i1>
      %r = stablehlo.compare GT, %c, %d, TOTALORDER : (tensor<f32>, tensor<f32>) -> tensor<i1>
      %s = stablehlo.and %q, %r : tensor<i1>
      %t = stablehlo.or %p, %s : tensor<i1>
      stablehlo.return %t : tensor<i1>
    }) : (tensor<7xi32>, tensor<7xf32>, tensor<7xi32>) -> (tensor<7xi32>, tensor<7xf32>, tensor<7xi32>)
    %2:2 = "stablehlo.sort"(%x#0, %x#2) <{dimension = 0 : i64, is_stable = true}> ({
    ^bb0(%a: tensor<f32>, %b: tensor<f32>, %c: tensor<i32>, %d: tensor<i32>):
      %zero = stablehlo.constant dense<0.0> : tensor<f32>
      %nan = stablehlo.constant dense<0x7FC00000> : tensor<f32>
      %az = stablehlo.compare EQ, %a, %zero, FLOAT : (tensor<f32>, tensor<f32>) -> tensor<i1>
      %a1 = stablehlo.select %az, %zero, %a : tensor<i1>, tensor<f32>
      %an = stablehlo.compare NE, %a, %a, FLOAT : (tensor<f32>, tensor<f32>) -> tensor<i1>
      %a2 = stablehlo.select %an, %nan, %a1 : tensor<i1>, tensor<f32>
      %bz = stablehlo.compare EQ, %b, %zero, FLOAT : (tensor<f32>, tensor<f32>) -> tensor<i1>
      %b1 = stablehlo.select %bz, %zero, %b : tensor<i1>, tensor<f32>
      %bn = stablehlo.compare NE, %b, %b, FLOAT : (tensor<f32>, tensor<f32>) -> tensor<i1>
      %b2 = stablehlo.select %bn, %nan, %b1 : tensor<i1>, tensor<f32>
      %p = stablehlo.compare LT, %a2, %b2, TOTALORDER : (tensor<f32>, tensor<f32>) -> tensor<i1>
      stablehlo.return %p : tensor<i1>
    }) : (tensor<7xf32>, tensor<7xi32>) -> (tensor<7xf32>, tensor<7xi32>)
    %3 = "stablehlo.sort"(%x#3) <{dimension = 1 : i64}> ({
    ^bb0(%a: tensor<ui8>, %b: tensor<ui8>):
      %p = stablehlo.compare LT, %b, %a, UNSIGNED : (tensor<ui8>, tensor<ui8>) -> tensor<i1>
      stablehlo.return %p : tensor<i1>
    }) : (tensor<2x4xui8>) -> tensor<2x4xui8>
    %values, %indices = chlo.top_k(%x#3, k = 2) : tensor<2x4xui8> -> (tensor<2x2xui8>, tensor<2x2xi32>)
    stablehlo.custom_call @check.expect_eq(%0#0, %want#0) {has_side_effect = true} : (tensor<7xi32>, tensor<7xi32>) -> ()
    stablehlo.custom_call @check.expect_eq(%0#1, %want#1) {has_side_effect = true} : (tensor<7xi32>, tensor<7xi32>) -> ()
    stablehlo.custom_call @check.expect_eq(%1#0, %want#2) {has_side_effect = true} : (tensor<7xi32>, tensor<7xi32>) -> ()
    stablehlo.custom_call @check.expect_eq(%1#1, %want#3) {has_side_effect = true} : (tensor<7xf32>, tensor<7xf32>) -> ()
    stablehlo.custom_call @check.expect_eq(%1#2, %want#4) {has_side_effect = true} : (tensor<7xi32>, tensor<7xi32>) -> ()
    stablehlo.custom_call @check.expect_eq(%2#0, %want#5) {has_side_effect = true} : (tensor<7xf32>, tensor<7xf32>) -> ()
    stablehlo.custom_call @check.expect_eq(%2#1, %want#6) {has_side_effect = true} : (tensor<7xi32>, tensor<7xi32>) -> ()
    stablehlo.custom_call @check.expect_eq(%3, %want#7) {has_side_effect = true} : (tensor<2x4xui8>, tensor<2x4xui8>) -> ()
    stablehlo.custom_call @check.expect_eq(%values, %want#8) {has_side_effect = true} : (tensor<2x2xui8>, tensor<2x2xui8>) -> ()
    stablehlo.custom_call @check.expect_eq(%indices, %want#9) {has_side_effect = true} : (tensor<2x2xi32>, tensor<2x2xi32>) -> ()
    return
  }
  func.func private @inputs() -> (tensor<7xf32>, tensor<7xi32>, tensor<7xi32>, tensor<2x4xui8>) {
    %0 = stablehlo.constant dense<[0.0e+00, -0.0e+00, 0x7FC00000, 3.0e+00, -1.0e+00, 0xFF800000, 0.0e+00]> : tensor<7xf32>
    %1 = stablehlo.constant dense<[3, 1, 3, 2, 1, 2, 3]> : tensor<7xi32>
    %2 = stablehlo.constant dense<[0, 1, 2, 3, 4, 5, 6]> : tensor<7xi32>
    %3 = stablehlo.constant dense<[[1, 200, 3, 200], [9, 8, 7, 8]]> : tensor<2x4xui8>
    return %0, %1, %2, %3 : tensor<7xf32>, tensor<7xi32>, tensor<7xi32>, tensor<2x4xui8>
  }
  func.func private @expected() -> (tensor<7xi32>, tensor<7xi32>, tensor<7xi32>, tensor<7xf32>, tensor<7xi32>, tensor<7xf32>, tensor<7xi32>, tensor<2x4xui8>, tensor<2x2xui8>, tensor<2x2xi32>) {
    %0 = stablehlo.constant dense<[3, 3, 3, 2, 2, 1, 1]> : tensor<7xi32>
    %1 = stablehlo.constant dense<[0, 2, 6, 3, 5, 1, 4]> : tensor<7xi32>
    %2 = stablehlo.constant dense<[1, 4, 3, 5, 2, 0, 6]> : tensor<7xi32>
    %3 = stablehlo.constant dense<[-0.0e+00, -1.0e+00, 3.0e+00, 0xFF800000, 0x7FC00000, 0.0e+00, 0.0e+00]> : tensor<7xf32>
    %4 = stablehlo.constant dense<[1, 1, 2, 2, 3, 3, 3]> : tensor<7xi32>
    %5 = stablehlo.constant dense<[0xFF800000, -1.0e+00, 0.0e+00, -0.0e+00, 0.0e+00, 3.0e+00, 0x7FC00000]> : tensor<7xf32>
    %6 = stablehlo.constant dense<[5, 4, 0, 1, 6, 3, 2]> : tensor<7xi32>
    %7 = stablehlo.constant dense<[[200, 200, 3, 1], [9, 8, 8, 7]]> : tensor<2x4xui8>
    %8 = stablehlo.constant dense<[[200, 200], [9, 8]]> : tensor<2x2xui8>
    %9 = stablehlo.constant dense<[[1, 3], [0, 1]]> : tensor<2x2xi32>
    return %0, %1, %2, %3, %4, %5, %6, %7, %8, %9 : tensor<7xi32>, tensor<7xi32>, tensor<7xi32>, tensor<7xf32>, tensor<7xi32>, tensor<7xf32>, tensor<7xi32>, tensor<2x4xui8>, tensor<2x2xui8>, tensor<2x2xi32>
  }
}
