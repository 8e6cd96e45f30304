#!/bin/sh
echo open
