// SPDX-License-Identifier: MIT
// Float registers: three read ports, two write ports.
//
// Port `a` takes loads and single-cycle results, port `b` the results of the pipelined unit. The
// core never lets both write one register in the same cycle.
module esp_fregfile (
  input  logic        clk_i,
  input  logic        srst_ni,
  input  logic [4:0]  raddr_a_i,
  output logic [31:0] rdata_a_o,
  input  logic [4:0]  raddr_b_i,
  output logic [31:0] rdata_b_o,
  input  logic [4:0]  raddr_c_i,
  output logic [31:0] rdata_c_o,
  input  logic        we_a_i,
  input  logic [4:0]  waddr_a_i,
  input  logic [31:0] wdata_a_i,
  input  logic        we_b_i,
  input  logic [4:0]  waddr_b_i,
  input  logic [31:0] wdata_b_i
);

  logic [31:0] regs_q[32];

  assign rdata_a_o = regs_q[raddr_a_i];
  assign rdata_b_o = regs_q[raddr_b_i];
  assign rdata_c_o = regs_q[raddr_c_i];

  always_ff @(posedge clk_i) begin
    if (we_a_i) regs_q[waddr_a_i] <= wdata_a_i;
    if (we_b_i) regs_q[waddr_b_i] <= wdata_b_i;
`ifndef SYNTHESIS
    // The ISA leaves them undefined after reset. Simulated, they are zero, so that runs repeat.
    if (!srst_ni) begin
      for (int unsigned i = 0; i < 32; i++) regs_q[i] <= '0;
    end
`endif
  end

`ifdef ESP_ASSERT
  always_ff @(posedge clk_i) begin
    OneWriter: assert (!(srst_ni && we_a_i && we_b_i && waddr_a_i == waddr_b_i));
  end
`endif

endmodule
