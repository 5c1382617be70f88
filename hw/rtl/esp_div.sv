// SPDX-License-Identifier: MIT
// Iterative restoring divider, one quotient bit a cycle, for DIV, DIVU, REM and REMU.
//
// `valid_i` and the operands are held until `done_o`, 33 cycles after the first cycle of `valid_i`.
// Division by zero and overflow take the same time: the recurrence yields the quotient of ones and
// the remainder that the ISA asks for, provided that the sign is not applied to that quotient.
module esp_div (
  input  logic        clk_i,
  input  logic        srst_ni,
  input  logic        valid_i,
  input  logic        signed_i,
  input  logic        remainder_i,
  input  logic [31:0] a_i,
  input  logic [31:0] b_i,
  output logic        done_o,
  output logic [31:0] result_o
);

  logic        busy_q;
  logic [5:0]  steps_q;
  logic [31:0] quotient_q;
  logic [31:0] quotient_d;
  logic [31:0] remainder_q;
  logic [31:0] remainder_d;

  logic a_negative;
  logic b_negative;
  assign a_negative = signed_i & a_i[31];
  assign b_negative = signed_i & b_i[31];
  assign done_o = busy_q & (steps_q == '0);

  always_comb begin
    // Temporaries of the gated block; they have defaults so that none becomes a latch.
    logic [32:0] partial;
    logic [31:0] divisor;
    logic        fits;
    partial = '0;
    divisor = '0;
    fits = '0;
    quotient_d = quotient_q;
    remainder_d = remainder_q;
    if (valid_i) begin
      if (!busy_q) begin
        quotient_d = a_negative ? -a_i : a_i;
        remainder_d = '0;
      end else begin
        divisor = b_negative ? -b_i : b_i;
        partial = {remainder_q, quotient_q[31]};
        fits = partial >= {1'b0, divisor};
        // The difference is below the divisor, so 32 bits hold it.
        remainder_d = fits ? partial[31:0] - divisor : partial[31:0];
        quotient_d = {quotient_q[30:0], fits};
      end
    end
  end

  always_comb begin
    result_o = '0;
    if (done_o) begin
      if (remainder_i) begin
        result_o = a_negative ? -remainder_q : remainder_q;
      end else begin
        result_o = (a_negative ^ b_negative) && b_i != '0 ? -quotient_q : quotient_q;
      end
    end
  end

  always_ff @(posedge clk_i) begin
    if (!srst_ni) begin
      busy_q <= 1'b0;
      steps_q <= '0;
      quotient_q <= '0;
      remainder_q <= '0;
    end else if (valid_i) begin
      if (done_o) begin
        busy_q <= 1'b0;
      end else begin
        busy_q <= 1'b1;
        steps_q <= busy_q ? steps_q - 6'd1 : 6'd32;
        quotient_q <= quotient_d;
        remainder_q <= remainder_d;
      end
    end
  end

`ifdef ESP_ASSERT
  // The recurrence takes the divisor and the signs from the ports in every step.
  logic [31:0] a_q;
  logic [31:0] b_q;
  always_ff @(posedge clk_i) begin
    a_q <= a_i;
    b_q <= b_i;
    if (srst_ni && busy_q) OperandsHeld: assert (valid_i && a_i == a_q && b_i == b_q);
  end
`endif

endmodule
