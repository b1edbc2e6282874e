output "name" {
  value = var.name
}

output "aws_region" {
  value = var.aws_region
}

output "gcp_project" {
  value = var.gcp_project
}

output "gcp_region" {
  value = var.gcp_region
}

output "gcp_zone" {
  value = google_container_cluster.gcp.location
}

output "azure_region" {
  value = var.azure_region
}

output "azure_resource_group" {
  value = azurerm_resource_group.azure.name
}
