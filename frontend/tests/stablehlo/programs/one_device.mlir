// Operations between devices, on one; tuples.
module @test {
  func.func public @main() {
    %x:2 = call @inputs() : () -> (tensor<3x2xf32>, tensor<2xf32>)
    %want:3 = call @expected() : () -> (tensor<3x2xf32>, tensor<3x2xf32>, tensor<ui32>)
    %y0 = "stablehlo.all_reduce"(%x#0) <{channel_handle = #stablehlo.channel_handle<handle = 1, type = 1>, replica_groups = dense<0> : tensor<1x1xi64>, use_global_device_ids}> ({
      ^bb0(%a: tensor<f32>, %b: tensor<f32>):
      %s = stablehlo.add %a, %b : tensor<f32>
      stablehlo.return %s : tensor<f32>
      }) : (tensor<3x2xf32>) -> tensor<3x2xf32>
    %y1 = "stablehlo.all_gather"(%y0) <{all_gather_dim = 1 : i64, replica_groups = dense<0> : tensor<1x1xi64>}> : (tensor<3x2xf32>) -> tensor<3x2xf32>
    %y2 = "stablehlo.all_to_all"(%y1) <{concat_dimension = 1 : i64, replica_groups = dense<0> : tensor<1x1xi64>, split_count = 1 : i64, split_dimension = 1 : i64}> : (tensor<3x2xf32>) -> tensor<3x2xf32>
    %y3 = "stablehlo.collective_permute"(%y2) <{source_target_pairs = dense<0> : tensor<1x2xi64>}> : (tensor<3x2xf32>) -> tensor<3x2xf32>
    %y4 = "stablehlo.collective_broadcast"(%y3) <{replica_groups = dense<0> : tensor<1x1xi64>}> : (tensor<3x2xf32>) -> tensor<3x2xf32>
    %y5 = "stablehlo.reduce_scatter"(%y4) <{replica_groups = dense<0> : tensor<1x1xi64>, scatter_dimension = 0 : i64}> ({
      ^bb0(%a: tensor<f32>, %b: tensor<f32>):
      %s = stablehlo.add %a, %b : tensor<f32>
      stablehlo.return %s : tensor<f32>
      }) : (tensor<3x2xf32>) -> tensor<3x2xf32>
    %y6 = "stablehlo.cross-replica-sum"(%y5) <{replica_groups = dense<0> : tensor<1x1xi64>}> : (tensor<3x2xf32>) -> tensor<3x2xf32>
    %p = stablehlo.partition_id : tensor<ui32>
    %r = stablehlo.replica_id : tensor<ui32>
    %pr = stablehlo.add %p, %r : tensor<ui32>
    %t = stablehlo.tuple %y6, %pr : tuple<tensor<3x2xf32>, tensor<ui32>>
    %y7 = stablehlo.get_tuple_element %t[0] : (tuple<tensor<3x2xf32>, tensor<ui32>>) -> tensor<3x2xf32>
    %y8 = "stablehlo.get_tuple_element"(%t) <{index = 1 : i32}> : (tuple<tensor<3x2xf32>, tensor<ui32>>) -> tensor<ui32>
    stablehlo.custom_call @check.expect_eq(%y6, %want#0) {has_side_effect = true} : (tensor<3x2xf32>, tensor<3x2xf32>) -> ()
    stablehlo.custom_call @check.expect_eq(%y7, %want#1) {has_side_effect = true} : (tensor<3x2xf32>, tensor<3x2xf32>) -> ()
    stablehlo.custom_call @check.expect_eq(%y8, %want#2) {has_side_effect = true} : (tensor<ui32>, tensor<ui32>) -> ()
    return
  }
  func.func private @inputs() -> (tensor<3x2xf32>, tensor<2xf32>) {
    %0 = stablehlo.constant dense<[[1.750000000e+00, 7.500000000e-01], [1.375000000e+00, -1.125000000e+00], [-2.500000000e-01, -8.750000000e-01]]> : tensor<3x2xf32>
    %1 = stablehlo.constant dense<[1.500000000e+00, 6.250000000e-01]> : tensor<2xf32>
    return %0, %1 : tensor<3x2xf32>, tensor<2xf32>
  }
  func.func private @expected() -> (tensor<3x2xf32>, tensor<3x2xf32>, tensor<ui32>) {
    %0 = stablehlo.constant dense<[[1.750000000e+00, 7.500000000e-01], [1.375000000e+00, -1.125000000e+00], [-2.500000000e-01, -8.750000000e-01]]> : tensor<3x2xf32>
    %1 = stablehlo.constant dense<[[1.750000000e+00, 7.500000000e-01], [1.375000000e+00, -1.125000000e+00], [-2.500000000e-01, -8.750000000e-01]]> : tensor<3x2xf32>
    %2 = stablehlo.constant dense<0> : tensor<ui32>
    return %0, %1, %2 : tensor<3x2xf32>, tensor<3x2xf32>, tensor<ui32>
  }
}
