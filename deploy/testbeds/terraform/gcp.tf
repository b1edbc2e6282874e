# GKE Standard on the legacy data path, which another CNI can take over.

resource "google_compute_network" "gcp" {
  name                    = var.name
  auto_create_subnetworks = false
}

resource "google_compute_subnetwork" "gcp" {
  name          = var.name
  network       = google_compute_network.gcp.id
  region        = var.gcp_region
  ip_cidr_range = local.networks.gcp

  secondary_ip_range {
    range_name    = "pods"
    ip_cidr_range = "10.112.0.0/16"
  }

  secondary_ip_range {
    range_name    = "services"
    ip_cidr_range = "10.122.0.0/20"
  }
}

resource "google_compute_firewall" "inside" {
  name          = "${var.name}-inside"
  network       = google_compute_network.gcp.id
  source_ranges = [local.inside]

  allow {
    protocol = "all"
  }
}

data "google_compute_zones" "all" {
  region = var.gcp_region
}

resource "google_container_cluster" "gcp" {
  name                = var.name
  location            = data.google_compute_zones.all.names[0]
  min_master_version  = var.kubernetes_version
  network             = google_compute_network.gcp.id
  subnetwork          = google_compute_subnetwork.gcp.id
  datapath_provider   = "LEGACY_DATAPATH"
  deletion_protection = false

  remove_default_node_pool = true
  initial_node_count       = 1

  ip_allocation_policy {
    cluster_secondary_range_name  = "pods"
    services_secondary_range_name = "services"
  }

  master_authorized_networks_config {
    dynamic "cidr_blocks" {
      for_each = var.operators
      content {
        cidr_block = cidr_blocks.value
      }
    }
  }
}

resource "google_container_node_pool" "gcp" {
  count = var.nodes > 0 ? 1 : 0

  name       = "all"
  cluster    = google_container_cluster.gcp.id
  node_count = var.nodes

  node_config {
    machine_type = var.machines.gcp
    image_type   = "COS_CONTAINERD"
    oauth_scopes = ["https://www.googleapis.com/auth/cloud-platform"]

    # No pod may start on GKE's own CNI before Cilium has taken over; its agent takes the taint away.
    dynamic "taint" {
      for_each = var.cni == "cilium" ? ["node.cilium.io/agent-not-ready"] : []
      content {
        key    = taint.value
        value  = "true"
        effect = "NO_EXECUTE"
      }
    }
  }
}
