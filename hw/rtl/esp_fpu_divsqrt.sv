// SPDX-License-Identifier: MIT
// Iterative division and square root, one result bit a cycle.
//
// `valid_i` and the operands are held until `done_o`; then the outputs are an unrounded result for
// esp_fpu_round, held while `done_o` and not `taken_i`. Specials are ready after one cycle.
module esp_fpu_divsqrt (
  input  logic             clk_i,
  input  logic             srst_ni,

  input  logic             valid_i,
  input  logic             sqrt_i,
  input  logic [31:0]      a_i,
  input  logic [31:0]      b_i,
  input  logic             taken_i,

  output logic             done_o,
  output logic             special_o,
  output esp_pkg::fflags_t special_flags_o,
  output logic [31:0]      special_result_o,
  output logic             sign_o,
  output logic [9:0]       exponent_o,
  output logic [63:0]      sum_o
);

  // 27 bits hold 24 of result, one lost to normalisation, guard and one more before the sticky bit.
  localparam logic [4:0] Steps = 5'd27;

  logic             busy_q;
  logic [4:0]       steps_q;
  logic             special_q;
  logic             special_d;
  esp_pkg::fflags_t special_flags_q;
  esp_pkg::fflags_t special_flags_d;
  logic [31:0]      special_result_q;
  logic [31:0]      special_result_d;
  logic             sign_q;
  logic             sign_d;
  logic [9:0]       exponent_q;
  logic [9:0]       exponent_d;
  logic [53:0]      radicand_q;
  logic [53:0]      radicand_d;
  logic [23:0]      divisor_q;
  logic [23:0]      divisor_d;
  logic [29:0]      remainder_q;
  logic [29:0]      remainder_d;
  logic [26:0]      root_q;
  logic [26:0]      root_d;

  assign done_o = busy_q & (steps_q == '0);

  always_comb begin
    // Temporaries of the gated block; they have defaults so that none becomes a latch.
    logic [4:0]  a_shift;
    logic [4:0]  b_shift;
    logic [23:0] a_norm;
    logic [23:0] b_norm;
    logic [9:0]  a_exponent;
    logic [9:0]  b_exponent;
    logic [29:0] trial;
    logic        fits;
    a_shift = '0;
    b_shift = '0;
    a_norm = '0;
    b_norm = '0;
    a_exponent = '0;
    b_exponent = '0;
    trial = '0;
    fits = '0;
    special_d = special_q;
    special_flags_d = special_flags_q;
    special_result_d = special_result_q;
    sign_d = sign_q;
    exponent_d = exponent_q;
    radicand_d = radicand_q;
    divisor_d = divisor_q;
    remainder_d = remainder_q;
    root_d = root_q;
    if (valid_i && !busy_q) begin
      a_shift = esp_pkg::leading_zeros32({esp_pkg::significand(a_i), 8'b0});
      b_shift = esp_pkg::leading_zeros32({esp_pkg::significand(b_i), 8'b0});
      a_norm = esp_pkg::significand(a_i) << a_shift;
      b_norm = esp_pkg::significand(b_i) << b_shift;
      a_exponent = {2'b0, esp_pkg::exponent(a_i)} - {5'b0, a_shift};
      b_exponent = {2'b0, esp_pkg::exponent(b_i)} - {5'b0, b_shift};

      sign_d = ~sqrt_i & (a_i[31] ^ b_i[31]);
      divisor_d = b_norm;
      root_d = '0;
      special_d = 1'b0;
      special_flags_d = '0;
      special_result_d = '0;
      if (sqrt_i) begin
        // An odd exponent moves one factor of two into the radicand, which is then in [1, 4).
        remainder_d = '0;
        radicand_d = a_exponent[0] ? {1'b0, a_norm, 29'b0} : {a_norm, 30'b0};
        exponent_d = (a_exponent + (a_exponent[0] ? 10'd127 : 10'd126));
        exponent_d = {exponent_d[9], exponent_d[9:1]};
        if (esp_pkg::is_nan(a_i) || (a_i[31] && !esp_pkg::is_zero(a_i))) begin
          special_d = 1'b1;
          special_flags_d.nv = !esp_pkg::is_nan(a_i) || esp_pkg::is_signalling(a_i);
          special_result_d = esp_pkg::CanonicalNan;
        end else if (esp_pkg::is_zero(a_i) || esp_pkg::is_inf(a_i)) begin
          special_d = 1'b1;
          special_result_d = a_i;
        end
      end else begin
        remainder_d = {6'b0, a_norm};
        radicand_d = '0;
        exponent_d = a_exponent - b_exponent + 10'd127;
        if (esp_pkg::is_nan(a_i) || esp_pkg::is_nan(b_i) ||
            (esp_pkg::is_inf(a_i) && esp_pkg::is_inf(b_i)) ||
            (esp_pkg::is_zero(a_i) && esp_pkg::is_zero(b_i))) begin
          special_d = 1'b1;
          special_flags_d.nv = esp_pkg::is_signalling(a_i) || esp_pkg::is_signalling(b_i) ||
                               !(esp_pkg::is_nan(a_i) || esp_pkg::is_nan(b_i));
          special_result_d = esp_pkg::CanonicalNan;
        end else if (esp_pkg::is_inf(a_i) || esp_pkg::is_zero(b_i)) begin
          special_d = 1'b1;
          special_flags_d.dz = !esp_pkg::is_inf(a_i);
          special_result_d = {sign_d, 31'h7F80_0000};
        end else if (esp_pkg::is_zero(a_i) || esp_pkg::is_inf(b_i)) begin
          special_d = 1'b1;
          special_result_d = {sign_d, 31'b0};
        end
      end
    end else if (valid_i && !done_o) begin
      if (sqrt_i) begin
        remainder_d = {remainder_q[27:0], radicand_q[53:52]};
        radicand_d = radicand_q << 2;
        trial = {1'b0, root_q, 2'b01};
        fits = remainder_d >= trial;
        if (fits) remainder_d = remainder_d - trial;
      end else begin
        trial = {6'b0, divisor_q};
        fits = remainder_q >= trial;
        remainder_d = (fits ? remainder_q - trial : remainder_q) << 1;
      end
      root_d = {root_q[25:0], fits};
    end
  end

  always_ff @(posedge clk_i) begin
    if (!srst_ni) begin
      busy_q <= 1'b0;
      steps_q <= '0;
      special_q <= 1'b0;
      special_flags_q <= '0;
      special_result_q <= '0;
      sign_q <= 1'b0;
      exponent_q <= '0;
      radicand_q <= '0;
      divisor_q <= '0;
      remainder_q <= '0;
      root_q <= '0;
    end else if (valid_i) begin
      if (done_o) begin
        if (taken_i) busy_q <= 1'b0;
      end else begin
        busy_q <= 1'b1;
        steps_q <= busy_q ? steps_q - 5'd1 : (special_d ? 5'd0 : Steps);
        special_q <= special_d;
        special_flags_q <= special_flags_d;
        special_result_q <= special_result_d;
        sign_q <= sign_d;
        exponent_q <= exponent_d;
        radicand_q <= radicand_d;
        divisor_q <= divisor_d;
        remainder_q <= remainder_d;
        root_q <= root_d;
      end
    end
  end

  assign special_o = special_q;
  assign special_flags_o = special_flags_q;
  assign special_result_o = special_result_q;
  assign sign_o = sign_q;
  assign exponent_o = exponent_q;
  // Bit 26 of the root weighs one; a remainder only matters as a sticky bit.
  assign sum_o = {4'b0, root_q, 32'b0, remainder_q != '0};

`ifdef ESP_ASSERT
  // Execute holds the instruction until its result is taken.
  always_ff @(posedge clk_i) OperandsHeld: assert (!(srst_ni && busy_q && !valid_i));
`endif

endmodule
