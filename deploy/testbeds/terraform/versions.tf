# Written for OpenTofu 1.8 and Terraform 1.9. Never applied by this project: see docs/testbeds.md.

terraform {
  required_version = ">= 1.6"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "5.100.0"
    }
    azurerm = {
      source  = "hashicorp/azurerm"
      version = "4.42.0"
    }
    google = {
      source  = "hashicorp/google"
      version = "6.50.0"
    }
  }
}

provider "aws" {
  region = var.aws_region

  default_tags {
    tags = { testbed = var.name }
  }
}

provider "google" {
  project = var.gcp_project
  region  = var.gcp_region
}

provider "azurerm" {
  subscription_id = var.azure_subscription

  features {}
}
