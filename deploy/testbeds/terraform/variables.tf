variable "name" {
  description = "Begins every name"
  type        = string
  default     = "xcloud-testbed"
}

variable "aws_region" {
  description = "Region of the EKS cluster and of the VPN hub"
  type        = string
  default     = "us-east-1"
}

variable "gcp_project" {
  description = "Project of the GKE cluster"
  type        = string
}

variable "gcp_region" {
  description = "Region of the GKE cluster"
  type        = string
  default     = "us-east4"
}

variable "azure_subscription" {
  description = "Subscription of the AKS cluster"
  type        = string
}

variable "azure_region" {
  description = "Region of the AKS cluster"
  type        = string
  default     = "eastus2"
}

variable "kubernetes_version" {
  description = "Minor version of all clusters, as 1.31: one that all three clouds offer and the CNI's release supports"
  type        = string
}

variable "nodes" {
  description = "Nodes of each cluster; 0 makes EKS without any, for a CNI that must be there before them"
  type        = number
  default     = 2
}

variable "cni" {
  description = "The CNI that the scripts install: cilium or calico"
  type        = string
  default     = "cilium"

  validation {
    condition     = contains(["cilium", "calico"], var.cni)
    error_message = "cni is cilium or calico."
  }
}

variable "machines" {
  description = "Kinds of machine, four cores each unless changed; caps of their networks belong beside every figure"
  type        = object({ aws = string, gcp = string, azure = string })
  default     = { aws = "m6i.xlarge", gcp = "n2-standard-4", azure = "Standard_D4s_v5" }
}

variable "operators" {
  description = "Networks from which the clusters' APIs may be reached, as CIDRs"
  type        = list(string)
}

locals {
  # Nodes' networks must not overlap, as they are joined; pods' networks are in cni/*.yaml.
  networks = { aws = "10.1.0.0/16", gcp = "10.2.0.0/16", azure = "10.3.0.0/16" }
  # Every network of the testbed.
  inside = "10.0.0.0/8"
  # Numbers by which routers know each other.
  asn = { aws = 64512, gcp = 64514, azure = 65515 }
}
