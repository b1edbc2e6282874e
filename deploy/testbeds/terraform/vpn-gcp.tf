# The hub's tunnels to GCP.

resource "google_compute_ha_vpn_gateway" "gcp" {
  name    = var.name
  network = google_compute_network.gcp.id
}

resource "google_compute_router" "gcp" {
  name    = var.name
  network = google_compute_network.gcp.id

  bgp {
    asn = local.asn.gcp
  }
}

resource "aws_customer_gateway" "gcp" {
  bgp_asn    = local.asn.gcp
  ip_address = google_compute_ha_vpn_gateway.gcp.vpn_interfaces[0].ip_address
  type       = "ipsec.1"
}

resource "aws_vpn_connection" "gcp" {
  vpn_gateway_id      = aws_vpn_gateway.hub.id
  customer_gateway_id = aws_customer_gateway.gcp.id
  type                = "ipsec.1"
}

locals {
  gcp_tunnels = [
    {
      outside = aws_vpn_connection.gcp.tunnel1_address
      ours    = aws_vpn_connection.gcp.tunnel1_cgw_inside_address
      theirs  = aws_vpn_connection.gcp.tunnel1_vgw_inside_address
      secret  = aws_vpn_connection.gcp.tunnel1_preshared_key
    },
    {
      outside = aws_vpn_connection.gcp.tunnel2_address
      ours    = aws_vpn_connection.gcp.tunnel2_cgw_inside_address
      theirs  = aws_vpn_connection.gcp.tunnel2_vgw_inside_address
      secret  = aws_vpn_connection.gcp.tunnel2_preshared_key
    },
  ]
}

resource "google_compute_external_vpn_gateway" "hub" {
  name            = "${var.name}-hub"
  redundancy_type = "TWO_IPS_REDUNDANCY"

  interface {
    id         = 0
    ip_address = local.gcp_tunnels[0].outside
  }

  interface {
    id         = 1
    ip_address = local.gcp_tunnels[1].outside
  }
}

resource "google_compute_vpn_tunnel" "hub" {
  count = 2

  name                            = "${var.name}-hub-${count.index}"
  vpn_gateway                     = google_compute_ha_vpn_gateway.gcp.id
  vpn_gateway_interface           = 0
  peer_external_gateway           = google_compute_external_vpn_gateway.hub.id
  peer_external_gateway_interface = count.index
  shared_secret                   = local.gcp_tunnels[count.index].secret
  router                          = google_compute_router.gcp.id
  ike_version                     = 2
}

resource "google_compute_router_interface" "hub" {
  count = 2

  name       = "${var.name}-hub-${count.index}"
  router     = google_compute_router.gcp.name
  ip_range   = "${local.gcp_tunnels[count.index].ours}/30"
  vpn_tunnel = google_compute_vpn_tunnel.hub[count.index].name
}

resource "google_compute_router_peer" "hub" {
  count = 2

  name            = "${var.name}-hub-${count.index}"
  router          = google_compute_router.gcp.name
  interface       = google_compute_router_interface.hub[count.index].name
  peer_ip_address = local.gcp_tunnels[count.index].theirs
  peer_asn        = local.asn.aws
}
