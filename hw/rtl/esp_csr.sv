// SPDX-License-Identifier: MIT
// Control and status registers, trap state, counters and the float flags.
//
// Reads are combinational in the execute stage; writes and traps take effect at its end. There are
// no interrupts, so mie and mip read zero.
module esp_csr #(
  parameter bit          Float  = 1'b1,
  parameter bit          Dot    = 1'b1,
  parameter logic [31:0] HartId = 32'd0
) (
  input  logic              clk_i,
  input  logic              srst_ni,

  // Access from a CSR instruction. `op_i` is funct3[1:0]: write, set, clear.
  input  logic              valid_i,
  input  logic [11:0]       addr_i,
  input  logic [1:0]        op_i,
  input  logic              write_i,
  input  logic [31:0]       operand_i,
  output logic [31:0]       rdata_o,
  output logic              illegal_o,
  input  logic              commit_i,

  input  logic              retire_i,
  input  logic              trap_i,
  input  esp_pkg::cause_e   cause_i,
  input  logic [31:0]       epc_i,
  input  logic [31:0]       tval_i,
  input  logic              mret_i,
  output logic [31:0]       mtvec_o,
  output logic [31:0]       mepc_o,

  input  logic              fs_dirty_i,
  input  esp_pkg::fflags_t  fflags_i,
  input  esp_pkg::fflags_t  late_fflags_i,
  output logic              fs_off_o,
  output logic [2:0]        frm_o,
  output logic [4:0]        fflags_o
);

  localparam logic [31:0] Misa = 32'h4000_1100 | (Float ? 32'h20 : 32'h0) |
                                 (Dot ? 32'h80_0000 : 32'h0);

  logic        mie_q;
  logic        mpie_q;
  logic [1:0]  fs_q;
  logic [31:2] mtvec_q;
  logic [31:2] mepc_q;
  logic [31:0] mcause_q;
  logic [31:0] mtval_q;
  logic [31:0] mscratch_q;
  logic [63:0] mcycle_q;
  logic [63:0] minstret_q;
  logic [4:0]  fflags_q;
  logic [2:0]  frm_q;

  logic [31:0] wdata;
  logic        we;

  // Read, and say whether the access is allowed at all.
  always_comb begin
    rdata_o = '0;
    illegal_o = 1'b0;
    if (valid_i) begin
      unique case (addr_i)
        esp_pkg::CsrFflags:   rdata_o = {27'b0, fflags_q};
        esp_pkg::CsrFrm:      rdata_o = {29'b0, frm_q};
        esp_pkg::CsrFcsr:     rdata_o = {24'b0, frm_q, fflags_q};
        esp_pkg::CsrMstatus:  rdata_o = {fs_q == 2'd3, 16'b0, fs_q, 2'b11, 3'b0, mpie_q, 3'b0,
                                         mie_q, 3'b0};
        esp_pkg::CsrMisa:     rdata_o = Misa;
        esp_pkg::CsrMie,
        esp_pkg::CsrMip,
        esp_pkg::CsrMstatush,
        esp_pkg::CsrMinhibit: rdata_o = '0;
        esp_pkg::CsrMtvec:    rdata_o = {mtvec_q, 2'b00};
        esp_pkg::CsrMscratch: rdata_o = mscratch_q;
        esp_pkg::CsrMepc:     rdata_o = {mepc_q, 2'b00};
        esp_pkg::CsrMcause:   rdata_o = mcause_q;
        esp_pkg::CsrMtval:    rdata_o = mtval_q;
        esp_pkg::CsrMcycle,
        esp_pkg::CsrCycle,
        esp_pkg::CsrTime:     rdata_o = mcycle_q[31:0];
        esp_pkg::CsrMcycleh,
        esp_pkg::CsrCycleh,
        esp_pkg::CsrTimeh:    rdata_o = mcycle_q[63:32];
        esp_pkg::CsrMinstret,
        esp_pkg::CsrInstret:  rdata_o = minstret_q[31:0];
        esp_pkg::CsrMinstreth,
        esp_pkg::CsrInstreth: rdata_o = minstret_q[63:32];
        esp_pkg::CsrMhartid:  rdata_o = HartId;
        esp_pkg::CsrMvendorid,
        esp_pkg::CsrMarchid,
        esp_pkg::CsrMimpid,
        esp_pkg::CsrMconfig:  rdata_o = '0;
        default: begin
          // Event counters 3 to 31, their selectors and user aliases exist and are zero.
          illegal_o = !(addr_i[4:0] > 5'd2 &&
                        (addr_i[11:5] == 7'h19 || addr_i[11:5] == 7'h58 ||
                         addr_i[11:5] == 7'h5C || addr_i[11:5] == 7'h60 ||
                         addr_i[11:5] == 7'h64));
        end
      endcase
      if (addr_i[11:10] == 2'b11 && write_i) illegal_o = 1'b1;
      if (addr_i[11:2] == 10'd0 && (!Float || fs_q == 2'd0)) illegal_o = 1'b1;
    end
  end

  always_comb begin
    we = valid_i & write_i & commit_i;
    wdata = '0;
    if (we) begin
      unique case (op_i)
        2'd2:    wdata = rdata_o | operand_i;
        2'd3:    wdata = rdata_o & ~operand_i;
        default: wdata = operand_i;
      endcase
    end
  end

  always_ff @(posedge clk_i) begin
    if (!srst_ni) begin
      mie_q <= 1'b0;
      mpie_q <= 1'b0;
      fs_q <= 2'd0;
      mtvec_q <= '0;
      mepc_q <= '0;
      mcause_q <= '0;
      mtval_q <= '0;
      mscratch_q <= '0;
      mcycle_q <= '0;
      minstret_q <= '0;
      fflags_q <= '0;
      frm_q <= '0;
    end else begin
      mcycle_q <= mcycle_q + 64'd1;
      if (retire_i) minstret_q <= minstret_q + 64'd1;
      if (Float) begin
        if (fs_dirty_i) fs_q <= 2'd3;
        fflags_q <= fflags_q | fflags_i | late_fflags_i;
      end
      // Later assignments win: a write to a counter replaces its increment.
      if (we) begin
        unique case (addr_i)
          esp_pkg::CsrFflags: begin
            fflags_q <= wdata[4:0];
            fs_q <= 2'd3;
          end
          esp_pkg::CsrFrm: begin
            frm_q <= wdata[2:0];
            fs_q <= 2'd3;
          end
          esp_pkg::CsrFcsr: begin
            {frm_q, fflags_q} <= wdata[7:0];
            fs_q <= 2'd3;
          end
          esp_pkg::CsrMstatus: begin
            mie_q <= wdata[3];
            mpie_q <= wdata[7];
            if (Float) fs_q <= wdata[14:13];
          end
          esp_pkg::CsrMtvec:     mtvec_q <= wdata[31:2];
          esp_pkg::CsrMscratch:  mscratch_q <= wdata;
          esp_pkg::CsrMepc:      mepc_q <= wdata[31:2];
          esp_pkg::CsrMcause:    mcause_q <= wdata;
          esp_pkg::CsrMtval:     mtval_q <= wdata;
          // Both halves, so that no carry of the replaced increment reaches the other one.
          esp_pkg::CsrMcycle:    mcycle_q <= {mcycle_q[63:32], wdata};
          esp_pkg::CsrMcycleh:   mcycle_q <= {wdata, mcycle_q[31:0]};
          esp_pkg::CsrMinstret:  minstret_q <= {minstret_q[63:32], wdata};
          esp_pkg::CsrMinstreth: minstret_q <= {wdata, minstret_q[31:0]};
          default: ;
        endcase
      end
      if (trap_i) begin
        mpie_q <= mie_q;
        mie_q <= 1'b0;
        mepc_q <= epc_i[31:2];
        mcause_q <= {28'b0, cause_i};
        mtval_q <= tval_i;
      end else if (mret_i) begin
        mie_q <= mpie_q;
        mpie_q <= 1'b1;
      end
    end
  end

`ifdef ESP_ASSERT
  // An instruction either completes or traps, and a write is one of those that complete.
  always_ff @(posedge clk_i) begin
    if (srst_ni) begin
      TrapsOrRetires: assert (!(trap_i && retire_i));
      NoIllegalWrite: assert (!(we && illegal_o));
    end
  end
`endif

  assign mtvec_o = {mtvec_q, 2'b00};
  assign mepc_o = {mepc_q, 2'b00};
  assign fs_off_o = fs_q == 2'd0;
  assign frm_o = frm_q;
  assign fflags_o = fflags_q;

endmodule
