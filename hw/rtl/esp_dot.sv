// pm4adda.b: adds four products of signed bytes to an accumulator, modulo 2^32. Combinational.
module esp_dot (
  input  logic        valid_i,
  input  logic [31:0] a_i,
  input  logic [31:0] b_i,
  input  logic [31:0] accumulator_i,
  output logic [31:0] result_o
);

  function automatic logic [31:0] product(logic [7:0] a, logic [7:0] b);
    product = {{24{a[7]}}, a} * {{24{b[7]}}, b};
  endfunction

  always_comb begin
    result_o = '0;
    if (valid_i) begin
      result_o = accumulator_i + product(a_i[7:0], b_i[7:0]) + product(a_i[15:8], b_i[15:8]) +
                 product(a_i[23:16], b_i[23:16]) + product(a_i[31:24], b_i[31:24]);
    end
  end

endmodule
