// SPDX-License-Identifier: MIT
// Integer registers: three read ports, one write port. Register 0 reads as zero and is not stored.
//
// The third read port serves the accumulator of pm4adda.b and esp.lwdota.b.
module esp_regfile (
  input  logic        clk_i,
  input  logic        srst_ni,
  input  logic [4:0]  raddr_a_i,
  output logic [31:0] rdata_a_o,
  input  logic [4:0]  raddr_b_i,
  output logic [31:0] rdata_b_o,
  input  logic [4:0]  raddr_c_i,
  output logic [31:0] rdata_c_o,
  input  logic        we_i,
  input  logic [4:0]  waddr_i,
  input  logic [31:0] wdata_i
);

  logic [31:0] regs_q[1:31];

  assign rdata_a_o = raddr_a_i == '0 ? '0 : regs_q[raddr_a_i];
  assign rdata_b_o = raddr_b_i == '0 ? '0 : regs_q[raddr_b_i];
  assign rdata_c_o = raddr_c_i == '0 ? '0 : regs_q[raddr_c_i];

  always_ff @(posedge clk_i) begin
    // The core never asks to write register 0.
    if (we_i) regs_q[waddr_i] <= wdata_i;
`ifndef SYNTHESIS
    // The ISA leaves them undefined after reset. Simulated, they are zero, so that runs repeat.
    if (!srst_ni) begin
      for (int unsigned i = 1; i < 32; i++) regs_q[i] <= '0;
    end
`endif
  end

`ifdef ESP_ASSERT
  always_ff @(posedge clk_i) NoWriteOfZero: assert (!(srst_ni && we_i && waddr_i == '0));
`endif

endmodule
