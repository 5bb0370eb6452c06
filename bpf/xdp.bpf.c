int x_xdp;
