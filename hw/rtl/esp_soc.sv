// SPDX-License-Identifier: MIT
// The simulated system: core, address decoder, flash, SRAM and memory-mapped registers.
//
// Bases and sizes are straps, taken over while in reset. Flash can be read and executed, SRAM read,
// written and executed; anything else is an access fault. Bases are multiples of four and regions
// do not wrap around the end of the address space.
module esp_soc #(
  parameter bit Float   = 1'b1,
  parameter bit Dot     = 1'b1,
  parameter bit LoadDot = 1'b0
) (
  input  logic        clk_i,
  input  logic        srst_ni,

  input  logic [31:0] boot_addr_i,
  input  logic [31:0] flash_base_i,
  input  logic [31:0] flash_size_i,
  input  logic [31:0] sram_base_i,
  input  logic [31:0] sram_size_i,
  // Wait states, the bits of an address that name a line of the flash, and, unless zero, the seed
  // of further waits at random.
  input  logic [3:0]  flash_wait_i,
  input  logic [3:0]  sram_wait_i,
  input  logic [31:0] flash_line_mask_i,
  input  logic [31:0] random_wait_i,
  // Names this system to the C++ test bench.
  input  logic [63:0] handle_i

`ifdef ESP_RVFI
  ,
  output logic        rvfi_valid,
  output logic [63:0] rvfi_order,
  output logic [31:0] rvfi_insn,
  output logic        rvfi_trap,
  output logic        rvfi_halt,
  output logic        rvfi_intr,
  output logic [1:0]  rvfi_mode,
  output logic [1:0]  rvfi_ixl,
  output logic [4:0]  rvfi_rs1_addr,
  output logic [4:0]  rvfi_rs2_addr,
  output logic [4:0]  rvfi_rs3_addr,
  output logic [31:0] rvfi_rs1_rdata,
  output logic [31:0] rvfi_rs2_rdata,
  output logic [31:0] rvfi_rs3_rdata,
  output logic [4:0]  rvfi_rd_addr,
  output logic [31:0] rvfi_rd_wdata,
  output logic [4:0]  rvfi_frs1_addr,
  output logic [4:0]  rvfi_frs2_addr,
  output logic [4:0]  rvfi_frs3_addr,
  output logic        rvfi_frs1_rvalid,
  output logic        rvfi_frs2_rvalid,
  output logic        rvfi_frs3_rvalid,
  output logic [31:0] rvfi_frs1_rdata,
  output logic [31:0] rvfi_frs2_rdata,
  output logic [31:0] rvfi_frs3_rdata,
  output logic        rvfi_frd_wvalid,
  output logic [4:0]  rvfi_frd_addr,
  output logic [31:0] rvfi_frd_wdata,
  output logic [31:0] rvfi_pc_rdata,
  output logic [31:0] rvfi_pc_wdata,
  output logic [31:0] rvfi_mem_addr,
  output logic [3:0]  rvfi_mem_rmask,
  output logic [3:0]  rvfi_mem_wmask,
  output logic [31:0] rvfi_mem_rdata,
  output logic [31:0] rvfi_mem_wdata,
  output logic [3:0]  rvfi_ext_cause,
  output logic [31:0] rvfi_ext_tval,
  output logic [31:0] rvfi_ext_mtvec,
  output logic        rvfi_ext_late,
  output logic        rvfi_ext_late_valid,
  output logic [4:0]  rvfi_ext_late_addr,
  output logic [31:0] rvfi_ext_late_wdata
`endif
);

  logic [31:0] flash_base_q;
  logic [31:0] flash_size_q;
  logic [31:0] sram_base_q;
  logic [31:0] sram_size_q;
  logic [3:0]  flash_wait_q;
  logic [3:0]  sram_wait_q;
  logic        slow_q;
  logic [31:0] flash_line_mask_q;
  logic [31:0] random_q;
  logic [63:0] handle_q;

  always_ff @(posedge clk_i) begin
    if (!srst_ni) begin
      flash_base_q <= flash_base_i;
      flash_size_q <= flash_size_i;
      sram_base_q <= sram_base_i;
      sram_size_q <= sram_size_i;
      flash_wait_q <= flash_wait_i;
      sram_wait_q <= sram_wait_i;
      slow_q <= flash_wait_i != '0 || sram_wait_i != '0;
      flash_line_mask_q <= flash_line_mask_i;
      random_q <= random_wait_i;
      handle_q <= handle_i;
    end else if (random_q != '0) begin
      // A linear feedback shift register of full period.
      random_q <= (random_q >> 1) ^ (random_q[0] ? 32'h8020_0003 : '0);
    end
  end

  logic        instr_req;
  logic        instr_ready;
  logic [31:0] instr_addr;
  logic [31:0] instr_rdata;
  logic        instr_err_q;
  logic        data_req;
  logic        data_ready;
  logic        data_we;
  logic [3:0]  data_be;
  logic [31:0] data_addr;
  logic [31:0] data_wdata;
  logic        data_err;
  logic [31:0] data_memory_rdata;
  logic [31:0] data_rdata;

  esp_core #(
    .Float(Float),
    .Dot(Dot),
    .LoadDot(LoadDot)
  ) u_core (
    .clk_i,
    .srst_ni,
    .boot_addr_i,
    .instr_req_o(instr_req),
    .instr_ready_i(instr_ready),
    .instr_addr_o(instr_addr),
    .instr_rdata_i(instr_rdata),
    .instr_err_i(instr_err_q),
    .data_req_o(data_req),
    .data_ready_i(data_ready),
    .data_we_o(data_we),
    .data_be_o(data_be),
    .data_addr_o(data_addr),
    .data_wdata_o(data_wdata),
    .data_err_i(data_err),
    .data_rdata_i(data_rdata)
`ifdef ESP_RVFI
    ,
    .rvfi_valid,
    .rvfi_order,
    .rvfi_insn,
    .rvfi_trap,
    .rvfi_halt,
    .rvfi_intr,
    .rvfi_mode,
    .rvfi_ixl,
    .rvfi_rs1_addr,
    .rvfi_rs2_addr,
    .rvfi_rs3_addr,
    .rvfi_rs1_rdata,
    .rvfi_rs2_rdata,
    .rvfi_rs3_rdata,
    .rvfi_rd_addr,
    .rvfi_rd_wdata,
    .rvfi_frs1_addr,
    .rvfi_frs2_addr,
    .rvfi_frs3_addr,
    .rvfi_frs1_rvalid,
    .rvfi_frs2_rvalid,
    .rvfi_frs3_rvalid,
    .rvfi_frs1_rdata,
    .rvfi_frs2_rdata,
    .rvfi_frs3_rdata,
    .rvfi_frd_wvalid,
    .rvfi_frd_addr,
    .rvfi_frd_wdata,
    .rvfi_pc_rdata,
    .rvfi_pc_wdata,
    .rvfi_mem_addr,
    .rvfi_mem_rmask,
    .rvfi_mem_wmask,
    .rvfi_mem_rdata,
    .rvfi_mem_wdata,
    .rvfi_ext_cause,
    .rvfi_ext_tval,
    .rvfi_ext_mtvec,
    .rvfi_ext_late,
    .rvfi_ext_late_valid,
    .rvfi_ext_late_addr,
    .rvfi_ext_late_wdata
`endif
  );

  // Address decoding. An access is aligned, so its first byte decides.
  logic [31:0] instr_flash_offset;
  logic [31:0] instr_sram_offset;
  logic        instr_in_flash;
  logic        instr_in_sram;
  logic [31:0] data_flash_offset;
  logic [31:0] data_sram_offset;
  logic        data_in_flash;
  logic        data_in_sram;
  logic        data_in_mmio;
  logic        mmio_read_q;

  assign instr_flash_offset = instr_addr - flash_base_q;
  assign instr_sram_offset = instr_addr - sram_base_q;
  assign instr_in_flash = instr_flash_offset < flash_size_q;
  assign instr_in_sram = instr_sram_offset < sram_size_q;
  assign data_flash_offset = data_addr - flash_base_q;
  assign data_sram_offset = data_addr - sram_base_q;
  assign data_in_flash = data_flash_offset < flash_size_q;
  assign data_in_sram = data_sram_offset < sram_size_q;
  assign data_in_mmio = data_addr[31:5] == esp_pkg::MmioBase[31:5];
  assign data_err = ~(data_in_sram | (data_in_flash & ~data_we) | data_in_mmio);

  // Waits. What is no memory answers at once.
  logic [3:0] instr_wait;
  logic [3:0] data_wait;
  logic       instr_in_time;
  logic       data_in_time;
  logic       instr_taken;
  logic       data_taken;

  always_comb begin
    instr_wait = '0;
    data_wait = '0;
    // Simulation pays for what is asked for.
    if (slow_q) begin
      if (instr_in_flash) instr_wait = flash_wait_q;
      if (instr_in_sram) instr_wait = sram_wait_q;
      if (data_in_flash & ~data_we) data_wait = flash_wait_q;
      if (data_in_sram) data_wait = sram_wait_q;
    end
  end

  esp_wait #(
    .Prefetch(1'b1)
  ) u_instr_wait (
    .clk_i,
    .srst_ni,
    .wait_i(instr_wait),
    .keep_i(~instr_in_sram),
    .line_mask_i(instr_in_sram ? 32'hFFFF_FFFC : flash_line_mask_q),
    .req_i(instr_req),
    .addr_i(instr_addr),
    .accept_i(instr_taken),
    .ready_o(instr_in_time)
  );

  esp_wait #(
    .Prefetch(1'b0)
  ) u_data_wait (
    .clk_i,
    .srst_ni,
    .wait_i(data_wait),
    .keep_i(~data_in_sram),
    .line_mask_i(data_in_sram ? 32'hFFFF_FFFC : flash_line_mask_q),
    .req_i(data_req),
    .addr_i(data_addr),
    .accept_i(data_taken),
    .ready_o(data_in_time)
  );

  // At random, instructions wait one cycle in four and data one in two.
  assign instr_ready = instr_in_time & (random_q == '0 || random_q[1:0] != 2'b00);
  assign data_ready = data_in_time & (random_q == '0 || random_q[16]);
  assign instr_taken = instr_req & instr_ready;
  assign data_taken = data_req & data_ready;

  always_ff @(posedge clk_i) begin
    if (!srst_ni) begin
      instr_err_q <= 1'b0;
      mmio_read_q <= 1'b0;
    end else begin
      if (instr_taken) instr_err_q <= ~(instr_in_flash | instr_in_sram);
      if (data_taken) mmio_read_q <= data_in_mmio;
    end
  end

  esp_memory u_memory (
    .clk_i,
    .handle_i(handle_q),
    .instr_req_i(srst_ni & instr_taken & (instr_in_flash | instr_in_sram)),
    .instr_region_i(instr_in_sram),
    .instr_offset_i(instr_in_sram ? instr_sram_offset : instr_flash_offset),
    .instr_rdata_o(instr_rdata),
    .data_req_i(srst_ni & data_taken & ~data_err & ~data_in_mmio),
    .data_we_i(data_we),
    .data_be_i(data_be),
    .data_region_i(data_in_sram),
    .data_offset_i(data_in_sram ? data_sram_offset : data_flash_offset),
    .data_wdata_i(data_wdata),
    .data_rdata_o(data_memory_rdata)
  );

  esp_mmio u_mmio (
    .clk_i,
    .handle_i(handle_q),
    .write_i(srst_ni & data_taken & data_we & data_in_mmio),
    .offset_i(data_addr[4:0]),
    .wdata_i(data_wdata)
  );

`ifdef ESP_ASSERT
  // What the straps have to fulfil.
  always_ff @(posedge clk_i) begin
    if (srst_ni) begin
      StrapsAligned: assert (
          {flash_base_q[1:0], flash_size_q[1:0], sram_base_q[1:0], sram_size_q[1:0]} == '0);
      FlashEnds: assert ({1'b0, flash_base_q} + {1'b0, flash_size_q} <= 33'h1_0000_0000);
      SramEnds: assert ({1'b0, sram_base_q} + {1'b0, sram_size_q} <= 33'h1_0000_0000);
    end
  end
`endif

  assign data_rdata = mmio_read_q ? '0 : data_memory_rdata;

endmodule
