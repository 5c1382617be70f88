// SPDX-License-Identifier: MIT
// When a memory answers one port of the core: wait states, a line buffer and a prefetch of the line
// behind it. Decides on time alone; data come from esp_memory whatever this says.
//
// An access of a region with `wait_i` = 0 is ready at once. Any other reads its whole line, which
// takes `wait_i` cycles more; with `keep_i` the line stays, accesses inside it are ready at once,
// and with `Prefetch` the next line is read meanwhile. A line that is being read is given up for
// another that is wanted.
module esp_wait #(
  parameter bit Prefetch = 1'b1
) (
  input  logic        clk_i,
  input  logic        srst_ni,

  input  logic [3:0]  wait_i,
  input  logic        keep_i,
  // Bits of an address that name its line.
  input  logic [31:0] line_mask_i,

  input  logic        req_i,
  input  logic [31:0] addr_i,
  // The access is taken in this cycle; only while `ready_o`.
  input  logic        accept_i,
  output logic        ready_o
);

  // The line that is there, and the one that is being read: ready when nothing is left to wait.
  logic        line_valid_q;
  logic [31:0] line_q;
  logic        fetch_valid_q;
  logic [31:0] fetch_q;
  logic [3:0]  left_q;

  logic [31:0] line;
  logic        hit;
  logic        fetching;

  always_comb begin
    line = '0;
    hit = 1'b0;
    fetching = 1'b0;
    ready_o = 1'b1;
    if (wait_i != '0) begin
      line = addr_i & line_mask_i;
      hit = keep_i && line_valid_q && line_q == line;
      fetching = fetch_valid_q && fetch_q == line;
      ready_o = hit || (fetching && left_q == '0);
    end
  end

  always_ff @(posedge clk_i) begin
    if (!srst_ni) begin
      line_valid_q <= 1'b0;
      line_q <= '0;
      fetch_valid_q <= 1'b0;
      fetch_q <= '0;
      left_q <= '0;
    end else if (wait_i != '0 || left_q != '0) begin
      if (left_q != '0) left_q <= left_q - 4'd1;
      if (req_i && wait_i != '0 && !hit) begin
        if (!fetching) begin
          fetch_valid_q <= 1'b1;
          fetch_q <= line;
          left_q <= wait_i - 4'd1;
        end else if (accept_i) begin
          line_valid_q <= keep_i;
          line_q <= line;
          fetch_valid_q <= keep_i && Prefetch;
          fetch_q <= line + ~line_mask_i + 32'd1;
          left_q <= wait_i;
        end
      end
    end
  end

`ifdef ESP_ASSERT
  always_ff @(posedge clk_i) AcceptWhenReady: assert (!(srst_ni && accept_i && !ready_o));
`endif

endmodule
