// SPDX-License-Identifier: MIT
// pm4adda.b and esp.lwdota.b: adds four products of signed bytes to an accumulator, modulo 2^32.
// Combinational.
module esp_dot (
  input  logic        valid_i,
  input  logic [31:0] a_i,
  input  logic [31:0] b_i,
  input  logic [31:0] accumulator_i,
  output logic [31:0] result_o
);

  function automatic logic signed [15:0] product(logic signed [7:0] a, logic signed [7:0] b);
    product = a * b;
  endfunction

  always_comb begin
    // A temporary of the gated block; it has a default so that it becomes no latch.
    logic signed [17:0] sum;
    sum = '0;
    result_o = '0;
    if (valid_i) begin
      // No wider than four products need; only their sum is extended.
      sum = 18'(product(a_i[7:0], b_i[7:0])) + 18'(product(a_i[15:8], b_i[15:8])) +
            18'(product(a_i[23:16], b_i[23:16])) + 18'(product(a_i[31:24], b_i[31:24]));
      result_o = accumulator_i + 32'(sum);
    end
  end

endmodule
